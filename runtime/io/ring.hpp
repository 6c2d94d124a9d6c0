#pragma once
// io: what a completion_driver has from the moment at which it is opened: the ring and the buffers lent to
// it.

#include <liburing.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "weir/base/unique_fd.hpp"
#include "weir/io/chunk.hpp"
#include "weir/io/detail/completion_driver.hpp"

namespace weir::io {

// An io_uring for one thread. Thread: the one that made it.
class ring {
 public:
  static constexpr unsigned submissions = 1024;
  static constexpr unsigned completions = 8192;

  // Errors: std::system_error.
  ring();
  ring(const ring&) = delete;
  ring& operator=(const ring&) = delete;
  ~ring();

  [[nodiscard]] bool is_of_this_thread() const noexcept { return made_by_ == this_thread(); }

  // An entry to fill in, which belongs to the next enter().
  [[nodiscard]] io_uring_sqe& next(std::uint8_t opcode, int fd, std::uint64_t cookie) noexcept {
    if (tail_ - taken_ == submissions) [[unlikely]]
      make_room();
    io_uring_sqe& e = entries_[tail_++ & (submissions - 1)];
    e = {};
    e.opcode = opcode;
    e.fd = fd;
    e.user_data = cookie;
    return e;
  }
  [[nodiscard]] bool has_unsubmitted() const noexcept { return tail_ != taken_; }
  // The kernel has completions that only enter() brings.
  [[nodiscard]] bool has_work() const noexcept {
    return (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
  }

  // Submits everything, and waits for `least` completions. 0 or more, or -errno.
  int enter(unsigned least) noexcept;
  int enter_for(unsigned least, long microseconds) noexcept;

  [[nodiscard]] unsigned head() const noexcept { return *ring_.cq.khead; }
  [[nodiscard]] unsigned tail() const noexcept { return __atomic_load_n(ring_.cq.ktail, __ATOMIC_ACQUIRE); }
  [[nodiscard]] io_uring_cqe& completion(unsigned at) noexcept {
    return ring_.cq.cqes[at & (completions - 1)];
  }
  // The completions before `head` are done with.
  void advance_to(unsigned head) noexcept { __atomic_store_n(ring_.cq.khead, head, __ATOMIC_RELEASE); }
  [[nodiscard]] bool is_full() const noexcept { return tail() - head() == completions; }

  // A ring of buffers for receiving. Errors: std::system_error.
  void register_buffers(void* entries, unsigned count);

 private:
  [[nodiscard]] static std::uint64_t this_thread() noexcept;
  void make_room() noexcept;
  void publish() noexcept { __atomic_store_n(ring_.sq.ktail, tail_, __ATOMIC_RELEASE); }
  void note_taken() noexcept { taken_ = __atomic_load_n(ring_.sq.khead, __ATOMIC_ACQUIRE); }

  io_uring_sqe* entries_;
  unsigned tail_ = 0;
  unsigned taken_ = 0;  // by the kernel, at the last enter()
  io_uring ring_{};
  std::uint64_t made_by_ = this_thread();
  int enter_fd_;
  unsigned enter_flags_ = IORING_ENTER_GETEVENTS;
};

// The buffers that are lent to the kernel.
class lent_buffers {
 public:
  // Errors: std::system_error, std::bad_alloc.
  lent_buffers(ring& r, unsigned count, chunk_pool& from);
  lent_buffers(const lent_buffers&) = delete;
  lent_buffers& operator=(const lent_buffers&) = delete;
  ~lent_buffers();

  // The kernel has used buffer `id`. The caller owns the block from here on, and calls replace().
  [[nodiscard]] chunk_block* lent(unsigned id) const noexcept { return blocks_[id]; }
  // Lends another block under that id: at once if one lies ready.
  void replace(unsigned id) noexcept {
    if (chunk_block* const block = from_.take_last(); block != nullptr) [[likely]]
      lend(static_cast<std::uint16_t>(id), block);
    else
      empty_[taken_++] = static_cast<std::uint16_t>(id);
  }
  // The same where the replacement waits for refill().
  [[nodiscard]] chunk_block* take(unsigned id) noexcept {
    empty_[taken_++] = static_cast<std::uint16_t>(id);
    return lent(id);
  }
  // Lends others in the place of those that were taken, as far as there is memory for them.
  void refill() noexcept;
  [[nodiscard]] bool is_complete() const noexcept { return taken_ == 0; }
  [[nodiscard]] bool all_taken() const noexcept { return taken_ == blocks_.size(); }

 private:
  void lend(std::uint16_t id, chunk_block* block) noexcept {
    blocks_[id] = block;
    // Not the whole entry: the kernel's tail lies within the first.
    io_uring_buf& entry = entries_->bufs[tail_++ & mask_];
    entry.addr = reinterpret_cast<std::uintptr_t>(block->data());
    entry.len = size_;
    entry.bid = id;
    __atomic_store_n(&entries_->tail, tail_, __ATOMIC_RELEASE);
  }

  chunk_pool& from_;
  io_uring_buf_ring* entries_;
  std::uint32_t size_;  // of each buffer, in bytes
  std::uint16_t mask_;
  std::size_t bytes_;
  std::vector<chunk_block*> blocks_;  // by id
  std::vector<std::uint16_t> empty_;  // the ids of those that were taken, `taken_` of them
  std::size_t taken_ = 0;
  std::uint16_t tail_ = 0;
};

}  // namespace weir::io
