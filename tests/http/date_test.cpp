#include "weir/http/detail/date.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace weir::http;

namespace {

std::string written(std::time_t when) {
  std::string out(date_size, '?');
  write_date(out.data(), when);
  return out;
}

}  // namespace

TEST_CASE("a date is written as HTTP has it") {
  CHECK(written(0) == "Thu, 01 Jan 1970 00:00:00 GMT");
  CHECK(written(784111777) == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(written(951782400) == "Tue, 29 Feb 2000 00:00:00 GMT");
}

TEST_CASE("a date is read back") {
  for (std::time_t t : {0L, 784111777L, 951782400L, 4102444799L}) CHECK(parse_date(written(t)) == t);
}

TEST_CASE("the obsolete forms of a date are read") {
  CHECK(parse_date("Sunday, 06-Nov-94 08:49:37 GMT") == 784111777);
  CHECK(parse_date("Sun Nov  6 08:49:37 1994") == 784111777);
  CHECK(parse_date("Thursday, 01-Jan-70 00:00:00 GMT") == 0);
  CHECK(parse_date("Thu Dec 31 23:59:59 2099") == 4102444799L);
  CHECK(parse_date("Tuesday, 31-Dec-69 23:59:59 GMT") == 3155759999L);  // of two digits: 1970 to 2069
}

TEST_CASE("a malformed date is not read") {
  for (const char* bad :
       {"", "Sun, 06 Nov 1994 08:49:37 UTC", "Mon, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 ovD 1994 08:49:37 GMT", "Monday, 06-Nov-94 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 UTC", "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov  6 08:49:37 94", "Sun Nov  6 08:49:37 1994 ", "Sun-Nov  6 08:49:37 1994",
        "Sun Nov  6x08:49:37 1994", "Sun Nov 31 08:49:37 1994", "Sun, 06 Nov 1994 08:49:3x GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT "})
    CHECK_FALSE(parse_date(bad));
}

TEST_CASE("the date of now is not long ago") {
  const std::time_t before = std::time(nullptr);
  std::string text(date_size, '?');
  write_date_of_now(text.data());
  const auto now = parse_date(text);
  REQUIRE(now);
  CHECK(*now >= before - 1);
  CHECK(*now <= std::time(nullptr));
}
