#pragma once
// cache: the hash of a key, which a client cannot predict.

#include <sodium.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace cache {

// SipHash-2-4 under a random key, so that no client can choose keys that collide.
class key_hash {
 public:
  // Errors: std::runtime_error if the system gives no random numbers.
  key_hash();

  [[nodiscard]] std::uint64_t operator()(std::string_view text) const noexcept {
    std::uint64_t hash = 0;
    ::crypto_shorthash(reinterpret_cast<unsigned char*>(&hash),
                       reinterpret_cast<const unsigned char*>(text.data()), text.size(), secret_.data());
    return hash;
  }

 private:
  std::array<unsigned char, crypto_shorthash_KEYBYTES> secret_;
};

}  // namespace cache
