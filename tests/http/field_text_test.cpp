#include "weir/http/field_text.hpp"

#include <catch2/catch.hpp>

using namespace weir::http;

TEST_CASE("names are compared without regard to case") {
  CHECK(same_name("Content-LENGTH", "content-length"));
  CHECK_FALSE(same_name("content-length", "content_length"));
  CHECK_FALSE(same_name("a", "ab"));
  CHECK_FALSE(same_name("[", "{"));  // as far apart as letters of different case
  CHECK_FALSE(same_name("@", "`"));
}

TEST_CASE("a list gives its elements, and passes over empty ones") {
  std::string_view list = " a,, b ,\tc ,";
  CHECK(next_element(list) == "a");
  CHECK(next_element(list) == "b");
  CHECK(next_element(list) == "c");
  CHECK(next_element(list).empty());
}

TEST_CASE("a number is digits and nothing else") {
  CHECK(decimal("0") == 0);
  CHECK(decimal("18446744073709551615") == UINT64_MAX);
  for (const char* bad : {"", "+1", "-1", " 1", "1 ", "0x1", "18446744073709551616", "1,1"})
    CHECK_FALSE(decimal(bad));
}

TEST_CASE("tokens and values hold what they may") {
  CHECK(is_token("X-a_1!"));
  for (const char* bad : {"", "a b", "a:", "a\n", "\xc3"}) CHECK_FALSE(is_token(bad));
  CHECK(is_field_value("any\ttext \xc3\xa4"));
  for (const char* bad : {"a\r", "a\n", "a\x7f"}) CHECK_FALSE(is_field_value(bad));
}
