#include "key_hash.hpp"

#include <sys/random.h>

#include <cerrno>
#include <system_error>

namespace hashing {

key_hash::key_hash() {
  if (::getrandom(&secret_, sizeof secret_, 0) != static_cast<ssize_t>(sizeof secret_))
    throw std::system_error(errno, std::generic_category(), "no random key for the hash table");
}

}  // namespace hashing
