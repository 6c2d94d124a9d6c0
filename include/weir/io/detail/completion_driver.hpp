#pragma once
// io: the Proactor: a ring of io_uring, in which the core's io_context waits and which completes operations.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "weir/io/detail/driver.hpp"

struct io_uring_cqe;

namespace weir::io {

// What operations ask for is queued; one io_uring_enter for each batch submits all of it and waits. Bytes are
// received into buffers of the core's chunk_pool, which the kernel chooses when bytes are there, and are kept
// here until an operation takes them: a descriptor is read ahead of its operations while these keep up, and
// otherwise on demand. Everything else (sending, accept, connect, a lingering or parked socket) makes its
// system call, and polls its descriptor in the ring where it has to wait.
//
// `readable` of its descriptors is never true, so that an operation that reads does not try the system call
// and waits here. `watched` is `reads` while a receive goes on by itself and every byte that came has been
// handed over: then an operation has nothing to ask for, and keeps its kind.
//
// Thread: the one that opens it; on another one a wait ends with std::system_error. Lifetime: outlives its
// descriptors.
class completion_driver final : public driver {
 public:
  // `buffers`: lent to the kernel, a power of two. `read_ahead`: those with bytes of one descriptor for which
  // no operation waits; beyond it the descriptor is read on demand. One wake-up of the kernel may bring more.
  struct ring_bounds {
    std::uint32_t buffers = 128;
    std::uint32_t read_ahead = 8;
  };

  completion_driver(asio::io_context& context, bounds limits, ring_bounds ring, chunk_pool& chunks);
  ~completion_driver() override;

  // Why the calling thread cannot have a ring with all that is needed; empty if it can.
  [[nodiscard]] static std::string why_not();

  void open() override;
  void watch(descriptor& on, descriptor::watch what) noexcept override;
  // Cancels what is in flight and waits for its completions: nothing of `on`, nor memory of its operations,
  // is used by the kernel afterwards. Drops bytes that no operation has taken.
  void forget(descriptor& on) noexcept override;
  [[nodiscard]] int arm_once(descriptor& on, bool for_reading) noexcept override;
  void disarm(descriptor& on) noexcept override;
  bool stop_reading_ahead(descriptor& on) noexcept override;
  [[nodiscard]] bool holds_input(const descriptor& on) const noexcept override;
  void look_again(descriptor& on) noexcept override;

  // For operations. It answers as the system call does for a socket that does not block: a count, or -errno.
  // After -EAGAIN the operation waits, and proceeds when there is an answer.
  [[nodiscard]] long recv(descriptor& on, void* into, std::size_t size) noexcept;
  // The same for all bytes of a buffer, which is the caller's then; its `size` tells how many.
  [[nodiscard]] long receive(descriptor& on, chunk_block*& into) noexcept;
  // `on.reading` waits for bytes.
  void await_input(descriptor& on) noexcept;
  // Moves all that is held of what was received. Errors: std::bad_alloc, and all of it stays.
  void take_held(descriptor& on, std::string& into);
  // For operation_kind::finish: the bytes become the answer of the next receive().
  void keep_received(descriptor& on, chunk_block* block) noexcept;

  // What may be in flight for a descriptor.
  enum flight : std::uint8_t { receiving, polling_input, polling_room, polling_end, of_no_descriptor };

 private:
  friend driver;
  struct entry;
  struct opened;

  void run(long microseconds, asio_handlers& ready) override;
  void ring_bell() noexcept override;
  template <bool Recorded>
  std::size_t poll(long microseconds);
  template <bool Recorded>
  void complete(opened& o, const io_uring_cqe& c);
  void complete_any(const io_uring_cqe& c);
  void note(entry& e, flight what, int result, std::uint32_t flags) noexcept;
  [[nodiscard]] entry* find(const descriptor& on) const noexcept;
  [[nodiscard]] entry* find_or_make(descriptor& on) noexcept;
  [[nodiscard]] entry* make(descriptor& on) noexcept;
  [[nodiscard]] int poll_once(descriptor& on, flight what) noexcept;
  void arm_receive(entry& e) noexcept;
  void cancel_flight(entry& e, flight what) noexcept;
  void drain(entry& e, unsigned what) noexcept;
  void reap(entry& e) noexcept;
  void refill() noexcept;
  void look(entry& e) noexcept;
  [[nodiscard]] int await_room(entry& e) noexcept;
  void leave_room_set(entry& e) noexcept;
  void take_room_set();
  void end(entry& e) noexcept;
  static void drop_input(entry& e) noexcept;
  [[nodiscard]] bool is_mine() const noexcept;
  [[nodiscard]] std::uint32_t turn() const noexcept { return static_cast<std::uint32_t>(batch()); }

  ring_bounds ring_;
  std::unique_ptr<opened> ring_state_;
  // By descriptor number, so many at a time.
  static constexpr std::size_t entries_at_once = 128;
  std::vector<std::unique_ptr<entry[]>> entries_;
  bool starved_ = false;  // some wait for buffers
  // Of the completions: the first that is not taken, and the end of the batch that is being taken.
  unsigned not_taken_ = 0;
  unsigned batch_end_ = 0;
  std::uint64_t last_turn_ = 0;  // in this batch: the cookie of the descriptor that had it
};

}  // namespace weir::io
