#pragma once
// kv: where a key belongs, which nobody outside can foresee.

#include <sodium/crypto_shorthash.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace kv {

// SipHash-2-4 under a key drawn at random: a client that does not know it cannot choose keys that meet in one
// bucket.
class key_hash {
 public:
  key_hash();
  [[nodiscard]] std::uint64_t operator()(std::string_view key) const noexcept {
    std::uint64_t hash = 0;
    crypto_shorthash(reinterpret_cast<unsigned char*>(&hash),
                     reinterpret_cast<const unsigned char*>(key.data()), key.size(), secret_.data());
    return hash;
  }

 private:
  std::array<unsigned char, crypto_shorthash_KEYBYTES> secret_;
};

}  // namespace kv
