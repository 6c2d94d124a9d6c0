#pragma once
// accept: what an errno of accept4(2) asks for.

#include <cerrno>
#include <cstdint>

#include "weir/base/detail/idle_descriptors.hpp"

namespace weir {

enum class remedy : std::uint8_t { try_again, pause, give_up };

inline remedy remedy_for(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS: return remedy::pause;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP: return remedy::give_up;
    default: return remedy::try_again;  // this one connection failed on its way
  }
}

// Before a pause: a cache may hold the descriptor that the next client needs.
inline void make_room_after(int error) noexcept {
  if (error == EMFILE || error == ENFILE) detail::release_idle_descriptors();
}

}  // namespace weir
