#include "number.hpp"

#include <catch2/catch.hpp>

#include <limits>
#include <string>

using kv::integer_of;
using kv::real_of;
using kv::text_of;

TEST_CASE("an integer is only what it would be printed as") {
  CHECK(integer_of("0") == 0);
  CHECK(integer_of("-1") == -1);
  CHECK(integer_of("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
  CHECK(integer_of("-9223372036854775808") == std::numeric_limits<std::int64_t>::min());
  for (const auto* text : {"", "-", "+1", "01", "-0", "-01", " 1", "1 ", "1.0", "x", "9223372036854775808",
                           "-9223372036854775809", "1e3"}) {
    CAPTURE(text);
    CHECK(!integer_of(text));
  }
}

TEST_CASE("a real is a whole word of C's notation") {
  CHECK(real_of("1.5") == 1.5L);
  CHECK(real_of("-3e2") == -300.0L);
  CHECK(real_of("0x10") == 16.0L);
  CHECK(real_of("inf") == std::numeric_limits<long double>::infinity());
  for (const auto* text : {"", " 1", "1 ", "nan", "abc", "1e5000", "1.5x"}) {
    CAPTURE(text);
    CHECK(!real_of(text));
  }
  CHECK(!real_of(std::string(6000, '1')));
}

TEST_CASE("reals are printed without an exponent and without needless zeros") {
  CHECK(text_of(10.5L).view() == "10.5");
  CHECK(text_of(5000.0L).view() == "5000");
  CHECK(text_of(-0.0L).view() == "0");
  CHECK(text_of(0.1L + 0.2L).view() == "0.3");
  CHECK(text_of(std::numeric_limits<long double>::max()).view().size() == 4933);
}
