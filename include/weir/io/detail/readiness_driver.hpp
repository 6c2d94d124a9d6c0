#pragma once
// io: the Reactor: an epoll set of weir's own, in which the core's io_context waits.

#include <sys/epoll.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "weir/base/asio.hpp"
#include "weir/base/detail/asio_task.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/io/chunk.hpp"
#include "weir/io/detail/descriptor.hpp"
#include "weir/task/detail/chain_list.hpp"

namespace weir::io {

// Problem: an io_context costs a thousand instructions per operation in type erasure, locks and memory. Here
// it waits in this driver, which resumes coroutines directly from its epoll set and goes on to the next wait
// by itself; Asio's reactor is one descriptor of that set. The io_context has its turn when it has something
// to do.
//
// Operations try their system call first and park on EAGAIN. A descriptor is registered at its first park,
// edge-triggered and for reading; for writing too from the first time that a send buffer was full.
//
// Thread: the core's. Lifetime: outlives its descriptors.
class readiness_driver final : public run_queue, private asio_task {
 public:
  // `inline_budget`: operations that may complete inline per resumption, and turns of the run queue for each
  // epoll batch. `polls_per_turn`: epoll batches before Asio's timers and posts get a turn, if there are more
  // events. `events`: size of a batch. `one_turn`: Asio gets a turn after each of ours, because each may
  // block.
  struct bounds {
    std::uint32_t inline_budget = 64;
    std::uint32_t polls_per_turn = 16;
    std::uint32_t events = 512;
    bool one_turn = false;
  };

  // `chunks`: where operations take their receive buffers.
  readiness_driver(asio::io_context& context, bounds limits, chunk_pool& chunks);
  readiness_driver(const readiness_driver&) = delete;
  readiness_driver& operator=(const readiness_driver&) = delete;
  ~readiness_driver();

  // Makes the epoll set, and the io_context wait in it; until then, or the first wait for readiness, there is
  // none, and chains have their turns between Asio's handlers.
  // Errors: std::system_error. It may be called again.
  void open();

  // True if one more operation may complete inline; after false the caller goes to the end of the run queue.
  bool spend() noexcept {
    assert_thread("an operation of this core's");
    if (budget_ <= 1) return false;
    --budget_;
    return true;
  }

  // An operation has moved so many bytes that every other chain and descriptor has its turn before it goes
  // on: the present round of turns ends, and the sockets, timers and posts are looked at.
  void end_round() noexcept { round_ends_ = true; }

  // Waits for readiness. The operation proceeds when its direction may be ready. Its root is set.
  // Errors: an operation whose descriptor epoll refuses (ENOMEM, ENOSPC, EPERM for a file) ends with the
  // errno.
  void park_reading(descriptor& on, operation& op) noexcept {
    assert_thread("waiting to read");
    on.reading = &op;
    if (on.watched == descriptor::watch::none) [[unlikely]]
      register_or_send_elsewhere(on, descriptor::watch::reads);
  }
  void park_writing(descriptor& on, operation& op) noexcept {
    assert_thread("waiting to write");
    on.writing = &op;
    if (on.watched != descriptor::watch::both) [[unlikely]]
      register_or_send_elsewhere(on, descriptor::watch::both);
  }

  // Called for an operation of a descriptor that does not wait for the loop, instead of registering it.
  using elsewhere = void (*)(descriptor& on, bool for_reading) noexcept;
  void when_elsewhere(elsewhere f) noexcept { elsewhere_ = f; }

  // Registers a descriptor, whatever wait_mode it has.
  void watch(descriptor& on, descriptor::watch what) noexcept;

  // Takes a descriptor that stays open out of the epoll set. Any thread that owns the descriptor.
  void forget(descriptor& on) noexcept;

  // Reports one event of `on`, to `on.reading` or `on.writing`, and then no more until it is armed again. Any
  // thread that owns `on.fd` and `on.watched`; the rest of it stays the driver's. 0, or the errno of
  // epoll_ctl(2).
  [[nodiscard]] int arm_once(descriptor& on, bool for_reading) noexcept;

  // Gives a chain a turn now. For callers that Asio's handlers run.
  void run_now(chain& root);

  [[nodiscard]] chunk_pool& chunks() const noexcept { return chunks_; }

  // The number of batches: tells an operation whether it was parked in the last one. Any thread.
  [[nodiscard]] std::uint64_t batch() const noexcept { return batch_.load(std::memory_order_relaxed); }

  // The run queue runs after each batch of events, so that no event of a batch refers to something that the
  // queue has destroyed.
  void schedule(chain& root) noexcept override;
  void unschedule(chain& root) noexcept override;
  void deliver(remote_wake* w) noexcept override;
  [[nodiscard]] asio::any_io_executor executor() const override { return context_.get_executor(); }

  // Grows whenever something has run here: a caller that polls the io_context, which counts its own handlers
  // alone, learns from it whether there was anything to do.
  [[nodiscard]] std::uint64_t progress() const noexcept { return progress_; }

  // Milliseconds on a coarse monotonic clock, read once per batch.
  [[nodiscard]] std::uint64_t now() const noexcept { return now_; }

  // Reads that clock. For code that a timer calls: a loop without socket events has no batches.
  std::uint64_t refresh_now() noexcept;

  // From now on the clock stands at `now` until it is set again. For tests: see core/virtual_clock.hpp.
  void hold_now(std::uint64_t now) noexcept {
    now_ = now;
    held_ = true;
  }

  // For the owner of the chains, when it destroys them: ends what has been delivered and wakes no chain.
  void drop_delivered() noexcept;

 private:
  struct opened;

  void run(long microseconds, asio_handlers& ready) override;
  void interrupt() override;
  void turn_without_set();
  void wake_up() noexcept;
  [[gnu::cold]] void register_or_send_elsewhere(descriptor& on, descriptor::watch what) noexcept;
  [[nodiscard]] int try_watch(descriptor& on, descriptor::watch what) noexcept;
  std::size_t poll(long microseconds);
  void begin_batch() noexcept;
  void give_turns();
  void more_than_input(descriptor& d, std::uint32_t events);
  void take_delivered() noexcept;
  void give_turn(operation& op) {
    budget_ = bounds_.inline_budget;
    set_running(op.root);
    chain::proceed(op);
  }

  asio::io_context& context_;
  bounds bounds_;
  chunk_pool& chunks_;
  elsewhere elsewhere_ = nullptr;
  int set_ = -1;  // of `opened_`
  std::unique_ptr<opened> opened_;
  epoll_event* events_ = nullptr;
  descriptor asio_ready_;  // `readable` when Asio's reactor has something to do
  descriptor rung_;        // nothing is done for its event, which has ended the wait
  asio_turn turn_;         // until the epoll set is there
  chain_list queue_;
  std::int64_t budget_ = 0;
  std::uint64_t now_ = 0;
  std::uint64_t progress_ = 0;
  std::atomic<std::uint64_t> batch_{0};
  std::atomic<remote_wake*> delivered_{nullptr};
  // Whether the thread may be in its wait: set before it looks at what other threads have left for it, which
  // they do before they look at this.
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> has_set_{false};
  std::atomic<bool> interrupted_{false};  // Asio has something to do
  bool round_ends_ = false;
  bool held_ = false;  // hold_now() sets now_, not the clock
};

}  // namespace weir::io
