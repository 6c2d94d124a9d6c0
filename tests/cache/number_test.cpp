#include "number.hpp"

#include <catch2/catch.hpp>

using namespace cache;

TEST_CASE("numbers are read as C reads them, and end at a white space") {
  CHECK(signed_in("-7") == -7);
  CHECK(signed_in("+7") == 7);
  CHECK(signed_in("\t7\t8") == 7);
  CHECK(signed_in("007") == 7);
  for (const char* const wrong : {"", "x", "7x", "+", "-", "+-7", "--7", "9223372036854775808"})
    CHECK_FALSE(signed_in(wrong));
}

TEST_CASE("unsigned numbers may not look negative") {
  CHECK(unsigned_in("18446744073709551615") == 18446744073709551615ULL);
  CHECK(unsigned_in("-18446744073709551615") == 1);
  for (const char* const wrong : {"-1", "18446744073709551616", "", "1-1", "- 1", "-+1"})
    CHECK_FALSE(unsigned_in(wrong));
}

TEST_CASE("what is beyond 32 bits is cut off") {
  CHECK(exptime_in("2147483648") == -2147483648LL);
  CHECK(exptime_in("4294967297") == 1);
  CHECK(flags_in("4294967296") == 0);
  CHECK(flags_in("18446744073709551615") == 4294967295U);
  CHECK(size_in("4294967297") == 1);
  CHECK(size_in("2147483645") == 2147483645U);
  for (const char* const wrong : {"2147483646", "2147483648", "-1", "4294967295"})
    CHECK_FALSE(size_in(wrong));
}
