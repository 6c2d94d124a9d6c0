#pragma once
// accept: what an errno of accept4(2) asks for.

#include <cerrno>
#include <cstdint>

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

}  // namespace weir
