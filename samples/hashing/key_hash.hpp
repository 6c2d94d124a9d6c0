#pragma once
// kv and cache: the hash of a key, which a client cannot predict.

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace hashing {

struct hash_secret {
  std::uint64_t first;
  std::uint64_t second;
};

// SipHash with so many rounds for each eight bytes and at the end.
// Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012.
template <int Rounds, int LastRounds>
[[nodiscard]] inline std::uint64_t siphash(const hash_secret& secret, std::string_view text) noexcept {
  std::uint64_t a = secret.first ^ 0x736f6d6570736575;
  std::uint64_t b = secret.second ^ 0x646f72616e646f6d;
  std::uint64_t c = secret.first ^ 0x6c7967656e657261;
  std::uint64_t d = secret.second ^ 0x7465646279746573;
  const auto turn = [&](int rounds) {
    for (int i = 0; i < rounds; ++i) {
      a += b;
      c += d;
      b = std::rotl(b, 13) ^ a;
      d = std::rotl(d, 16) ^ c;
      a = std::rotl(a, 32) + d;
      c += b;
      d = std::rotl(d, 21) ^ a;
      b = std::rotl(b, 17) ^ c;
      c = std::rotl(c, 32);
    }
  };
  const auto mix = [&](std::uint64_t word) {
    d ^= word;
    turn(Rounds);
    a ^= word;
  };
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left >= 8; at += 8, left -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, 8);
    mix(word);
  }
  std::uint64_t last = std::uint64_t{text.size()} << 56;
  for (std::size_t i = 0; i < left; ++i) last |= std::uint64_t{static_cast<unsigned char>(at[i])} << (8 * i);
  mix(last);
  c ^= 0xff;
  turn(LastRounds);
  return a ^ b ^ c ^ d;
}

// Under a random secret: a client that does not know it cannot choose keys that collide. One round and three
// at the end, as in Python, Ruby and Rust.
class key_hash {
 public:
  key_hash();
  [[nodiscard]] std::uint64_t operator()(std::string_view key) const noexcept {
    return siphash<1, 3>(secret_, key);
  }

 private:
  hash_secret secret_;
};

}  // namespace hashing
