#include "weir/connection/writer.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>

#include "kinds.hpp"

namespace weir {

writer::~writer() { clear(); }

void writer::clear() noexcept {
  if (block_ != nullptr) io::chunk_block::release(std::exchange(block_, nullptr));
  begin_ = end_ = nullptr;
  room_ = 0;
}

void writer::make_room(std::size_t size) {
  const std::size_t used = pending();
  io::chunk_block* bigger = nullptr;
  if (block_ == nullptr && size <= state_->chunks().capacity())
    bigger = state_->chunks().take();
  else
    bigger = io::chunk_block::make(std::max(used + size, 2 * (block_ == nullptr ? 0 : block_->capacity)));
  if (bigger == nullptr) throw std::bad_alloc();
  char* const start = reinterpret_cast<char*>(bigger->data());
  if (used != 0) std::memcpy(start, begin_, used);
  clear();
  block_ = bigger;
  begin_ = start;
  end_ = start + used;
  room_ = bigger->capacity - used;
}

int writer::try_flush(bool more_follows) noexcept {
  while (begin_ != end_) {
    const long n = system_call::send(state_->fd, begin_, pending(), more_follows ? MSG_MORE : 0);
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
  const int error = out->try_flush(more_follows);
  return error == 0 || give_up(error);
}

const operation_kind kind_of_flush{proceed_writing<flush_operation>, cancel_write};

}  // namespace detail
}  // namespace weir
