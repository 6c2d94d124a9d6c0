#include "key_hash.hpp"

#include <stdexcept>

namespace cache {

key_hash::key_hash() {
  if (::sodium_init() < 0) throw std::runtime_error("no random numbers for the key of the hash");
  ::randombytes_buf(secret_.data(), secret_.size());
}

}  // namespace cache
