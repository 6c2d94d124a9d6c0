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

  // An entry to fill in, which belongs to the next enter().
  [[nodiscard]] io_uring_sqe& next(std::uint8_t opcode, int fd, std::uint64_t cookie) noexcept {
    if (unsubmitted() == submissions) [[unlikely]]
      make_room();
    io_uring_sqe& e = ring_.sq.sqes[ring_.sq.sqe_tail++ & (submissions - 1)];
    e = {};
    e.opcode = opcode;
    e.fd = fd;
    e.user_data = cookie;
    return e;
  }
  [[nodiscard]] unsigned unsubmitted() const noexcept {
    return ring_.sq.sqe_tail - __atomic_load_n(ring_.sq.khead, __ATOMIC_ACQUIRE);
  }
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
    return ring_.cq.cqes[at & (ring_.cq.ring_entries - 1)];
  }
  // The completions before `head` are done with.
  void advance_to(unsigned head) noexcept { __atomic_store_n(ring_.cq.khead, head, __ATOMIC_RELEASE); }
  [[nodiscard]] bool is_full() const noexcept { return tail() - head() == ring_.cq.ring_entries; }

  // A ring of buffers for receiving. Errors: std::system_error.
  void register_buffers(void* entries, unsigned count);

 private:
  void make_room() noexcept;
  void publish() noexcept { __atomic_store_n(ring_.sq.ktail, ring_.sq.sqe_tail, __ATOMIC_RELEASE); }

  io_uring ring_{};
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

  // The kernel has used buffer `id`: it belongs to the caller.
  [[nodiscard]] chunk_block* take(unsigned id) noexcept {
    empty_.push_back(static_cast<std::uint16_t>(id));
    return blocks_[id];
  }
  // Lends others in the place of those that were taken; false if there is no memory for one.
  bool refill() noexcept;
  [[nodiscard]] bool is_complete() const noexcept { return empty_.empty(); }
  [[nodiscard]] bool all_taken() const noexcept { return empty_.size() == blocks_.size(); }

 private:
  chunk_pool& from_;
  io_uring_buf_ring* entries_;
  std::size_t bytes_;
  std::vector<chunk_block*> blocks_;  // by id
  std::vector<std::uint16_t> empty_;  // ids; has room for all
};

}  // namespace weir::io
