#pragma once
// io: what a completion_driver has from the moment at which it is opened: the ring and the buffers lent to
// it.

#include <liburing.h>

#include <cstdint>
#include <utility>
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

// The buffers that are lent to the kernel, which uses them in their order. The id of a buffer is its place
// among the entries of the ring, and nothing but the address of an entry ever changes.
class lent_buffers {
 public:
  // Errors: std::system_error, std::bad_alloc.
  lent_buffers(ring& r, unsigned count, chunk_pool& from);
  lent_buffers(const lent_buffers&) = delete;
  lent_buffers& operator=(const lent_buffers&) = delete;
  ~lent_buffers();

  // The kernel has used buffer `id`: it belongs to the caller.
  [[nodiscard]] chunk_block* take(std::size_t id) noexcept {
    ++taken_;
    return std::exchange(blocks_[id], nullptr);
  }
  // The same where replace() follows.
  [[nodiscard]] chunk_block* lent(std::size_t id) const noexcept { return blocks_[id]; }
  // Lends another block in the place of `used`, which belongs to the caller: at once if one lies ready, most
  // often the same.
  void replace(std::size_t id, const chunk_block* used) noexcept {
    chunk_block* const ready = from_.last();
    const std::size_t tail = entries_->tail;
    if (ready == nullptr || (tail & mask_) != id) [[unlikely]]
      return static_cast<void>(take(id));
    static_cast<void>(from_.take_last());
    if (ready != used) [[unlikely]]
      put(id, ready);
    __atomic_store_n(&entries_->tail, static_cast<std::uint16_t>(tail + 1), __ATOMIC_RELEASE);
  }
  // Lends others in the place of those that were taken, as far as there is memory for them.
  void refill() noexcept;
  [[nodiscard]] bool is_complete() const noexcept { return taken_ == 0; }
  [[nodiscard]] bool all_taken() const noexcept { return taken_ == blocks_.size(); }

 private:
  void put(std::size_t id, chunk_block* block) noexcept {
    blocks_[id] = block;
    entries_->bufs[id].addr = reinterpret_cast<std::uintptr_t>(block->data());
  }

  chunk_pool& from_;
  io_uring_buf_ring* entries_;
  std::size_t bytes_;
  std::size_t mask_;
  std::vector<chunk_block*> blocks_;  // by id; null: taken
  std::size_t taken_;                 // how many
};

}  // namespace weir::io
