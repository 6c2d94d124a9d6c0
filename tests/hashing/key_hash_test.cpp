#include "hashing/key_hash.hpp"

#include <catch2/catch.hpp>

#include <sodium/crypto_shorthash.h>

#include <set>
#include <string>

TEST_CASE("with two rounds and four it is the SipHash of libsodium, for every length") {
  const hashing::hash_secret secret{0x0706050403020100, 0x0f0e0d0c0b0a0908};
  std::string text;
  for (int size = 0; size < 100; ++size) {
    CAPTURE(size);
    std::uint64_t expected = 0;
    crypto_shorthash(reinterpret_cast<unsigned char*>(&expected),
                     reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                     reinterpret_cast<const unsigned char*>(&secret));
    CHECK(hashing::siphash<2, 4>(secret, text) == expected);
    text += static_cast<char>(size * 37);
  }
}

TEST_CASE("each start has a secret of its own") {
  std::set<std::uint64_t> hashes;
  for (int i = 0; i < 100; ++i) hashes.insert(hashing::key_hash()("the same key"));
  CHECK(hashes.size() == 100);
}

TEST_CASE("keys that differ little are spread evenly") {
  const hashing::key_hash hash;
  int low_bits[64] = {};
  for (int i = 0; i < 64 * 1000; ++i) ++low_bits[hash("key:" + std::to_string(i)) % 64];
  for (const int count : low_bits) CHECK(std::abs(count - 1000) < 250);
}
