#include "weir/connection/writer.hpp"

#include <cerrno>

#include "kinds.hpp"

namespace weir {

int writer::try_flush() noexcept {
  while (begin_ != end_) {
    const long n = system_call::send(state_->fd, begin_, pending());
    if (n < 0) {
      if (n == -EAGAIN) {
        state_->writable = false;
        return EAGAIN;
      }
      clear();
      state_->lost(static_cast<int>(-n));
      return static_cast<int>(-n);
    }
    begin_ += n;
    if (begin_ != end_) {  // a short write: the send buffer is full
      state_->writable = false;
      return EAGAIN;
    }
  }
  clear();
  return 0;
}

namespace detail {

bool flush_operation::attempt() noexcept {
  const int error = out->try_flush();
  return error == 0 || give_up(error);
}

const operation_kind kind_of_flush{proceed_writing<flush_operation>, cancel_write};

}  // namespace detail
}  // namespace weir
