#include "ring.hpp"

#include <sched.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <new>

#include "weir/base/detail/system_call.hpp"
#include "weir/base/error.hpp"

namespace weir::io {

ring::ring() {
  io_uring_params p{};
  // One thread submits and looks at completions, which are made when it asks for them.
  p.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
            IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
  p.cq_entries = completions;
  if (const int error = ::io_uring_queue_init_params(submissions, &ring_, &p); error < 0)
    throw_system_error(-error, "io_uring_setup");
  constexpr unsigned needed =
      IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP;
  if ((p.features & needed) != needed || p.sq_entries != submissions || p.cq_entries != completions) {
    ::io_uring_queue_exit(&ring_);
    throw_system_error(EINVAL, "io_uring_setup");
  }
  for (unsigned i = 0; i < submissions; ++i) ring_.sq.array[i] = i;
  entries_ = ring_.sq.sqes;
  enter_fd_ = ring_.ring_fd;
  // Saves a look-up for each call. Not by liburing, which undoes it on any thread.
  io_uring_rsrc_update own{};
  own.offset = ~0U;  // any free number
  own.data = static_cast<std::uint64_t>(ring_.ring_fd);
  if (::syscall(SYS_io_uring_register, ring_.ring_fd, IORING_REGISTER_RING_FDS, &own, 1) == 1) {
    enter_fd_ = static_cast<int>(own.offset);
    enter_flags_ |= IORING_ENTER_REGISTERED_RING;
  }
}

// The number of a registered ring is one of its thread's: on another thread it may be another ring's.
ring::~ring() {
  if (is_of_this_thread() && (enter_flags_ & IORING_ENTER_REGISTERED_RING) != 0) {
    io_uring_rsrc_update own{};
    own.offset = static_cast<std::uint32_t>(enter_fd_);
    ::syscall(SYS_io_uring_register, ring_.ring_fd, IORING_UNREGISTER_RING_FDS, &own, 1);
  }
  ::io_uring_queue_exit(&ring_);
}

// A pthread_t is used again.
std::uint64_t ring::this_thread() noexcept {
  static constinit std::atomic<std::uint64_t> threads{0};
  thread_local const std::uint64_t number = ++threads;
  return number;
}

int ring::enter(unsigned least) noexcept {
  publish();
  const int n = system_call::io_uring_enter(enter_fd_, tail_ - taken_, least, enter_flags_);
  note_taken();
  return n;
}

int ring::enter_for(unsigned least, long microseconds) noexcept {
  publish();
  __kernel_timespec limit{.tv_sec = microseconds / 1'000'000, .tv_nsec = microseconds % 1'000'000 * 1000};
  io_uring_getevents_arg how{};
  how.ts = reinterpret_cast<std::uintptr_t>(&limit);
  const long n = ::syscall(SYS_io_uring_enter, enter_fd_, tail_ - taken_, least,
                           enter_flags_ | IORING_ENTER_EXT_ARG, &how, sizeof how);
  note_taken();
  return n < 0 ? -errno : static_cast<int>(n);
}

// The kernel may be short of memory for a while.
void ring::make_room() noexcept {
  publish();
  while (note_taken(), tail_ - taken_ == submissions &&
                           system_call::io_uring_enter(enter_fd_, submissions, 0,
                                                       enter_flags_ & ~IORING_ENTER_GETEVENTS) <= 0)
    ::sched_yield();
  note_taken();
}

void ring::register_buffers(void* entries, unsigned count) {
  io_uring_buf_reg how{};
  how.ring_addr = reinterpret_cast<std::uintptr_t>(entries);
  how.ring_entries = count;
  if (const int error = ::io_uring_register_buf_ring(&ring_, &how, 0); error < 0)
    throw_system_error(-error, "io_uring_register_buf_ring");
}

lent_buffers::lent_buffers(ring& r, unsigned count, chunk_pool& from)
    : from_(from), bytes_(count * sizeof(io_uring_buf)), mask_(count - 1), blocks_(count), taken_(count) {
  void* const memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw_system_error(errno, "mmap");
  entries_ = static_cast<io_uring_buf_ring*>(memory);
  try {
    r.register_buffers(memory, count);
  } catch (...) {
    ::munmap(memory, bytes_);
    throw;
  }
  for (unsigned id = 0; id < count; ++id) {
    // Not the whole entry: the kernel's tail lies within the first.
    entries_->bufs[id].len = static_cast<std::uint32_t>(from.capacity());
    entries_->bufs[id].bid = static_cast<std::uint16_t>(id);
  }
}

lent_buffers::~lent_buffers() {
  for (chunk_block* const each : blocks_)
    if (each != nullptr) chunk_block::release(each);
  ::munmap(entries_, bytes_);
}

// The next in the order may be used and not taken yet: then those behind it wait.
void lent_buffers::refill() noexcept {
  std::uint16_t tail = entries_->tail;
  for (; taken_ != 0 && blocks_[tail & mask_] == nullptr; ++tail, --taken_) {
    chunk_block* const block = from_.take();
    if (block == nullptr) break;
    put(tail & mask_, block);
  }
  __atomic_store_n(&entries_->tail, tail, __ATOMIC_RELEASE);
}

}  // namespace weir::io
