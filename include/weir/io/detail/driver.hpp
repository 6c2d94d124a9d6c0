#pragma once
// io: what the core's io_context waits in, and what each way to do I/O has of it: the run queue, the clock,
// the wake-ups from other threads.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <utility>

#include "weir/base/asio.hpp"
#include "weir/base/detail/asio_task.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/io/chunk.hpp"
#include "weir/io/detail/descriptor.hpp"
#include "weir/observe/detail/figures.hpp"
#include "weir/observe/detail/turn_ring.hpp"
#include "weir/task/detail/chain_list.hpp"

namespace weir::io {

// Problem: an io_context costs a thousand instructions per operation in type erasure, locks and memory. Here
// it waits in this driver, which resumes coroutines directly from what the kernel tells it and goes on to the
// next wait by itself; Asio's reactor is one descriptor that the driver watches. The io_context has its turn
// when it has something to do. A readiness_driver waits in an epoll set, a completion_driver in an io_uring.
//
// Thread: the core's. Lifetime: outlives its descriptors.
class driver : public run_queue, protected asio_task {
 public:
  // `inline_budget`: operations that may complete inline per resumption, and turns of the run queue for each
  // batch of events. `polls_per_turn`: batches before Asio's timers and posts get a turn, if there are more
  // events. `events`: size of a batch. `one_turn`: Asio gets a turn after each of ours, because each may
  // block.
  struct bounds {
    std::uint32_t inline_budget = 64;
    std::uint32_t polls_per_turn = 16;
    std::uint32_t events = 512;
    bool one_turn = false;
  };

  // `chunks`: where receive buffers come from. `tries_first`: operations that read try their system
  // call before they wait.
  driver(asio::io_context& context, bounds limits, chunk_pool& chunks, bool tries_first);
  driver(const driver&) = delete;
  driver& operator=(const driver&) = delete;
  virtual ~driver();

  // Makes what the io_context is to wait in; until then, or the first wait of an operation, there is none,
  // and chains have their turns between Asio's handlers. Thread: the one that runs the core. Errors:
  // std::system_error. It may be called again.
  virtual void open() = 0;

  // Whether operations that read try their system call before they wait: so begins `readable` of a
  // descriptor.
  [[nodiscard]] bool tries_first() const noexcept { return tries_first_; }

  // True if one more operation may complete inline; after false the caller goes to the end of the run queue.
  bool spend() noexcept {
    assert_thread("an operation of this core's");
    return --budget_ >= 0;  // compared with 0 so, it is one instruction and a branch
  }

  // An operation has moved so many bytes that every other chain and descriptor has its turn before it goes
  // on: the present round of turns ends, and the sockets, timers and posts are looked at.
  void end_round() noexcept { round_ends_ = true; }

  // Waits. The operation proceeds when its direction may be ready. Its root is set.
  // Errors: an operation whose descriptor the kernel refuses (ENOMEM, ENOSPC, EPERM for a file) ends with the
  // errno.
  void park_reading(descriptor& on, operation& op) noexcept {
    assert_thread("waiting to read");
    on.reading = &op;
    if (on.watched == descriptor::watch::none) [[unlikely]]
      begin_wait(on, descriptor::watch::reads);
  }
  void park_writing(descriptor& on, operation& op) noexcept {
    assert_thread("waiting to write");
    on.writing = &op;
    if (on.watched != descriptor::watch::both) [[unlikely]]
      begin_wait(on, descriptor::watch::both);
  }

  // Called for an operation of a descriptor that does not wait for the loop, instead of registering it.
  using elsewhere = void (*)(descriptor& on, bool for_reading) noexcept;
  void when_elsewhere(elsewhere f) noexcept { elsewhere_ = f; }

  // Registers a descriptor, whatever wait_mode it has, for the operation that waits.
  virtual void watch(descriptor& on, descriptor::watch what) noexcept = 0;

  // The kernel does nothing for the descriptor any more when this returns: it may be closed, or go elsewhere.
  // Any thread that owns the descriptor.
  virtual void forget(descriptor& on) noexcept = 0;

  // Reports one event of `on`, to `on.reading` or `on.writing`, and then no more until it is armed again. Any
  // thread that owns `on.fd` and `on.watched`; the rest of it stays the driver's. 0, or an errno.
  [[nodiscard]] virtual int arm_once(descriptor& on, bool for_reading) noexcept = 0;

  // Nothing is in flight for `on` any more: the thread that owns it may close it without a word.
  virtual void disarm(descriptor& /*on*/) noexcept {}

  // No bytes of `on` are taken any more unless an operation reads. True if bytes are held that no operation
  // has got yet.
  virtual bool stop_reading_ahead(descriptor& /*on*/) noexcept { return false; }
  [[nodiscard]] virtual bool holds_input(const descriptor& /*on*/) const noexcept { return false; }

  // The next read of `on` looks whether there is input, also one that waits and has a turn after this.
  virtual void look_again(descriptor& on) noexcept { on.readable = true; }

  // Gives a chain a turn now. For callers that Asio's handlers run.
  void run_now(chain& root);

  [[nodiscard]] chunk_pool& chunks() const noexcept { return chunks_; }

  // The number of batches: tells an operation whether it was parked in the last one. Any thread.
  [[nodiscard]] std::uint64_t batch() const noexcept { return batch_.read(); }

  // The run queue runs after each batch of events, so that no event of a batch refers to something that the
  // queue has destroyed.
  void schedule(chain& root) noexcept override;
  void unschedule(chain& root) noexcept override;
  void deliver(remote_wake* w) noexcept override;
  [[nodiscard]] asio::any_io_executor executor() const override { return context_.get_executor(); }

  // Grows whenever something has run here: a caller that polls the io_context, which counts its own handlers
  // alone, learns from it whether there was anything to do.
  [[nodiscard]] std::uint64_t progress() const noexcept { return progress_; }

  // What is counted of the work on this thread. `add` is for the driver's thread.
  [[nodiscard]] observe::figures& counted() noexcept { return *recorder_.counted; }
  [[nodiscard]] observe::histograms& measured() noexcept { return *recorder_.measured; }

  // Before the core runs. Where it is counted from now on; until then nothing reads it. `to` outlives the
  // driver.
  void record_in(observe::recorder to) noexcept {
    recorder_ = to;
    batches_before_ = counted()[observe::figure::turns].read();
  }

  // Before the core runs: each turn is recorded from now on. Without that a turn costs nothing for it: the
  // code that records is another instance of the loop.
  void record_turns(std::unique_ptr<observe::turn_ring> in) noexcept { turns_ = std::move(in); }
  // Null if none are recorded.
  [[nodiscard]] observe::turn_ring* turns() const noexcept { return turns_.get(); }
  // A request of the chain that runs has ended now.
  void request_took(std::uint64_t nanoseconds) noexcept {
    if (turns_ != nullptr) [[unlikely]]
      turns_->request_ended(nanoseconds);
  }

  // Writes down what is not counted where it happens. Any caller on the driver's thread.
  void write_levels() noexcept;

  // The thread that runs the core begins, or has ended: its CPU time is counted.
  void thread_begins() noexcept;
  void thread_ends() noexcept;

  // Of a recorder: the next turn is that of a chain which has been ready since then, at another thread.
  void take_over(std::uint64_t ready_since) noexcept {
    if (turns_ != nullptr) turns_->take_over(ready_since);
  }

  // What other threads have delivered, and no turn has taken. For a process that reads this one's memory.
  [[nodiscard]] const remote_wake* delivered() const noexcept {
    return delivered_.load(std::memory_order_relaxed);
  }

  // Milliseconds on a coarse monotonic clock, read once per batch.
  [[nodiscard]] std::uint64_t now() const noexcept { return now_; }

  // Reads that clock. For code that a timer calls: a loop without socket events has no batches.
  std::uint64_t refresh_now() noexcept {
    if (!held_) now_ = coarse_milliseconds();
    return now_;
  }

  // From now on the clock stands at `now` until it is set again. For tests: see core/virtual_clock.hpp.
  void hold_now(std::uint64_t now) noexcept {
    now_ = now;
    held_ = true;
  }

  // For the owner of the chains, when it destroys them: ends what has been delivered and wakes no chain.
  void drop_delivered() noexcept;

 protected:
  void open_asio() { wait_.emplace(context_, static_cast<asio_task&>(*this)); }
  void close_asio() noexcept { wait_.reset(); }
  [[nodiscard]] bool is_open() const noexcept { return has_set_.load(std::memory_order_relaxed); }
  [[nodiscard]] int asio_descriptor() const noexcept { return wait_->descriptor(); }
  void opened() noexcept { has_set_.store(true); }

  // What run() is, for a driver with a poll().
  template <class Driver>
  void run_in(Driver& self, long microseconds, asio_handlers& ready) {
    turns_ == nullptr ? run_rounds<false>(self, microseconds, ready)
                      : run_rounds<true>(self, microseconds, ready);
  }
  template <bool Recorded, class Driver>
  void run_rounds(Driver& self, long microseconds, asio_handlers& ready) {
    const std::uint32_t rounds = bounds_.one_turn ? 1 : bounds_.polls_per_turn;
    for (std::uint32_t round = 1;; ++round) {
      round_ends_ = false;
      // Handlers that were posted on this thread are in `ready`, without a word.
      const std::size_t n = self.template poll<Recorded>(ready.empty() ? microseconds : 0);
      take_delivered();
      if (!queue_.empty()) give_turns();
      if (microseconds < 0 && ready.empty() && !asio_ready_.readable &&
          !interrupted_.load(std::memory_order_relaxed)) [[likely]]
        continue;
      // After one lone event another poll would most likely find nothing.
      if ((n < 2 && queue_.empty()) || round >= rounds || round_ends_) break;
    }
    interrupted_.store(false, std::memory_order_relaxed);
    if (measured_from_ != 0) end_measuring();
    if constexpr (Recorded) turns_->begin(observe::turn::of_loop);
    if (std::exchange(asio_ready_.readable, false)) wait_->run_reactor(ready);
  }

  // Before a wait: whether the thread may sleep. From here on another thread that leaves something wakes it
  // up.
  [[nodiscard]] bool may_sleep() noexcept {
    sleeping_.store(true);
    return delivered_.load() == nullptr && !interrupted_.load();
  }
  void is_awake() noexcept { sleeping_.store(false, std::memory_order_relaxed); }
  void begin_batch() noexcept {
    refresh_now();
    batch_.add(1);
    if (--until_measured_ == 0) [[unlikely]]
      begin_measuring();
  }
  void has_progressed() noexcept { ++progress_; }
  void take_delivered() noexcept {
    if (delivered_.load(std::memory_order_relaxed) != nullptr) [[unlikely]]
      take_all_delivered();
  }
  void give_turns();
  // A turn of `root` begins. `Recorded`: whether turns are recorded, where that is known.
  template <bool Recorded>
  void begin_turn_of(chain& root) noexcept {
    if constexpr (Recorded) {
      observe::turn& t = turns_->begin(reinterpret_cast<std::uintptr_t>(&root));
      t.coroutine = root.resume_function();
      chain_name name;
      root.name_into(name);
      t.root = name.root;
      t.peer = name.peer;
    }
    set_running(&root);
  }
  void begin_turn(chain& root) noexcept {
    turns_ == nullptr ? begin_turn_of<false>(root) : begin_turn_of<true>(root);
  }
  // The event of `op` has come. Where that gives the chain to another thread, it is the loop's work.
  template <bool Recorded>
  void begin_event_of(const operation& op) noexcept {
    if constexpr (Recorded) {
      if (!op.kind->hands_over) return begin_turn_of<true>(*op.root);
      turns_->begin(observe::turn::of_loop);
    }
    set_running(op.root);
  }
  // `sleeps`: the loop waits for events, because nothing is ready.
  template <bool Recorded>
  void end_turns(bool sleeps) noexcept {
    if constexpr (Recorded) turns_->begin(sleeps ? observe::turn::waits : observe::turn::looks);
  }
  // The resumption itself is the first operation.
  [[nodiscard]] std::int64_t full_budget() const noexcept { return std::int64_t{bounds_.inline_budget} - 1; }
  void give_turn(operation& op) {
    budget_ = full_budget();
    turns_ == nullptr ? begin_event_of<false>(op) : begin_event_of<true>(op);
    chain::proceed(op);
  }
  // For one that the caller resumes; its operation is done already.
  template <bool Recorded>
  void begin_turn_of(const operation& op) noexcept {
    budget_ = bounds_.inline_budget;
    begin_turn_of<Recorded>(*op.root);
  }

  // Registers a descriptor of the loop, for the operation that waits; another one is sent elsewhere.
  void begin_wait(descriptor& on, descriptor::watch what) noexcept;

  // Ends the wait of the thread. Any thread.
  virtual void ring_bell() noexcept = 0;
  [[nodiscard]] static unique_fd made(int fd, const char* by);

  bounds bounds_;
  chain_list queue_;
  std::int64_t budget_ = 0;
  descriptor asio_ready_;  // `readable` when Asio's reactor has something to do

 private:
  [[nodiscard]] static std::uint64_t coarse_milliseconds() noexcept {
    timespec t;
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return static_cast<std::uint64_t>(t.tv_sec * 1000 + t.tv_nsec / 1'000'000);
  }
  void interrupt() override;
  // Between turns. Where there is nothing to wait in, the thread sleeps in Asio, unless chains are ready:
  // then `otherwise`. What was ready before has had its turn only after all of the queue has.
  [[nodiscard]] std::uintptr_t beside_turns(std::uintptr_t otherwise) const noexcept {
    if (is_open()) return observe::turn::of_loop;
    const bool sleeps = queue_.empty() && delivered_.load(std::memory_order_relaxed) == nullptr;
    return sleeps ? observe::turn::waits : otherwise;
  }
  void begin_measuring() noexcept;
  void end_measuring() noexcept;
  void turn_without_set();
  void take_all_delivered() noexcept;
  void wake_up() noexcept;

  asio::io_context& context_;
  chunk_pool& chunks_;
  observe::recorder recorder_;
  std::uint64_t batches_before_ = 0;  // of an earlier loop in the same place
  std::unique_ptr<observe::turn_ring> turns_;
  bool tries_first_;
  elsewhere elsewhere_ = nullptr;
  std::optional<asio_wait> wait_;
  asio_turn turn_;  // until there is something to wait in
  std::uint64_t now_ = 0;
  std::uint64_t progress_ = 0;
  owned_counter batch_{0};
  // Of the turns between two waits some are measured: about fifty a second, or all if there are fewer.
  std::uint32_t until_measured_ = 1;
  std::uint32_t measured_each_ = 1;
  std::uint64_t measured_from_ = 0;  // nanoseconds; 0: this turn is not measured
  std::uint64_t last_measured_ = 0;
  std::uint64_t cpu_counted_ = 0;  // of the CPU time of the thread; 0: none runs the core
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
