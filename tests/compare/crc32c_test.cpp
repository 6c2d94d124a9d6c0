#include "weir/compare/detail/crc32c.hpp"

#include <catch2/catch.hpp>

#include <string>

using weir::recording::crc32c;

TEST_CASE("the checksum is the one of RFC 3720") {
  const std::string digits = "123456789";
  CHECK(crc32c(digits.data(), digits.size()) == 0xe306'9283U);
  const std::string zeroes(32, '\0');
  CHECK(crc32c(zeroes.data(), zeroes.size()) == 0x8a91'36aaU);
  const std::string ones(32, '\xff');
  CHECK(crc32c(ones.data(), ones.size()) == 0x62a8'ab43U);
  CHECK(crc32c(nullptr, 0) == 0);
}

TEST_CASE("tables and the processor's instruction tell the same checksum") {
  std::string text;
  for (int i = 0; i < 300; ++i) {
    CHECK(~weir::recording::detail::crc_by_tables(0xffff'ffffU, text.data(), text.size()) ==
          weir::recording::crc32c(text.data(), text.size()));
    text += static_cast<char>(i * 7);
  }
}
