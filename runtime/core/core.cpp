#include "weir/core/core.hpp"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <new>
#include <utility>

#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/core/detail/sigpipe_blocked.hpp"
#include "weir/core/detail/spawned.hpp"
#include "weir/io/detail/completion_driver.hpp"
#include "weir/io/detail/readiness_driver.hpp"

namespace weir {
namespace {

constinit thread_local core* current_core = nullptr;

// Pins the calling thread, and restores its affinity.
class pinned {
 public:
  explicit pinned(std::optional<int> cpu) {
    if (!cpu) return;
    CPU_ZERO(&before_);
    if (::sched_getaffinity(0, sizeof before_, &before_) != 0) throw_system_error(errno, "sched_getaffinity");
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(static_cast<unsigned>(*cpu), &only);
    if (::sched_setaffinity(0, sizeof only, &only) != 0)
      throw_system_error(errno, fmt::format("pin a thread to CPU {}", *cpu));
    active_ = true;
  }
  pinned(const pinned&) = delete;
  pinned& operator=(const pinned&) = delete;
  ~pinned() {
    if (active_) ::sched_setaffinity(0, sizeof before_, &before_);
  }

 private:
  cpu_set_t before_{};
  bool active_ = false;
};

// Tells others, while it lives, which thread runs a core, and how much CPU time that takes.
class told_thread {
 public:
  explicit told_thread(io::driver& of) noexcept : of_(of) {
    of.counted()[observe::figure::thread].set(static_cast<std::uint64_t>(::gettid()));
    of.thread_begins();
  }
  told_thread(const told_thread&) = delete;
  told_thread& operator=(const told_thread&) = delete;
  ~told_thread() {
    of_.thread_ends();
    of_.counted()[observe::figure::thread].set(0);
  }

 private:
  io::driver& of_;
};

// Records the calling thread while it runs the core.
class running_thread {
 public:
  running_thread(std::mutex& m, std::optional<pthread_t>& at) : mutex_(m), at_(at) {
    const std::lock_guard lock(mutex_);
    at_ = ::pthread_self();
  }
  running_thread(const running_thread&) = delete;
  running_thread& operator=(const running_thread&) = delete;
  ~running_thread() {
    const std::lock_guard lock(mutex_);
    at_.reset();
  }

 private:
  std::mutex& mutex_;
  std::optional<pthread_t>& at_;
};

std::unique_ptr<io::driver> make_driver(asio::io_context& context, io::chunk_pool& chunks, const settings& s,
                                        core_role role) {
  const io::driver::bounds limits{.inline_budget = s.loop.inline_budget,
                                  .polls_per_turn = s.loop.polls_per_turn,
                                  .events = s.loop.events,
                                  .one_turn = role.io_blocks};
  // Threads on which I/O blocks, or that only may come to wait for sockets, need no ring.
  if (s.io == io_kind::io_uring && !role.io_blocks && !role.opens_late)
    return std::make_unique<io::completion_driver>(
        context, limits,
        io::completion_driver::ring_bounds{std::bit_ceil(s.loop.ring_buffers), s.loop.read_ahead}, chunks);
  return std::make_unique<io::readiness_driver>(context, limits, chunks);
}

}  // namespace

core::spawned::spawned(core& home, task<> t)
    : chain(*home.driver_),
      home_(home),
      frame_(t.release_to(*this)),
      next_(home.spawned_),
      link_(&home.spawned_) {
  if (next_ != nullptr) next_->link_ = &next_;
  home.spawned_ = this;
  began_at(home.driver_->now());
  home.add_own_work();
  resume_later(frame_);
}

core::spawned::~spawned() {
  *link_ = next_;
  if (next_ != nullptr) next_->link_ = link_;
  home_.driver_->unschedule(*this);
  abandon();
  frame_.destroy();
  home_.end_own_work();
}

void core::spawned::finished() noexcept {
  if (&chain::home() == home_.driver_.get()) return schedule();
  remote_wake* const w = remote_wake::depart(*this);
  move_to(*home_.driver_);
  home_.driver_->deliver(w);
}

void core::spawned::turn() {
  if (!frame_.done()) return resume();
  try {
    frame_.promise().take();
  } catch (const std::exception& e) {
    log::error("core {}: a task ended with an exception: {}", home_.index_, e.what());
  } catch (...) {
    log::error("core {}: a task ended with an exception", home_.index_);
  }
  delete this;
}

constinit std::mutex core::listing_;
constinit core* core::first_ = nullptr;

core::core(unsigned index, std::optional<int> cpu, const settings& s, offload_pool* shared_with,
           core_pool* pool, core_role role)
    : index_(index),
      is_loop_(!role.io_blocks && !role.opens_late),
      cpu_(cpu),
      pool_(pool),
      own_offload_(shared_with == nullptr ? std::make_unique<offload_pool>(s.workers.count, s.workers.queue)
                                          : nullptr),
      offload_(shared_with == nullptr ? own_offload_.get() : shared_with),
      chunks_(s.loop.chunk_size, s.loop.idle_chunks, role.handlers_migrate),
      context_(1),
      driver_(make_driver(context_, chunks_, s, role)),
      timers_(context_, driver_.get()) {
  chunks_.belongs_to(driver_.get());
  observe::recorder to;
  if (role.ledger != nullptr) to = pool != nullptr ? role.ledger->loop(index) : role.ledger->thread();
  if (to.counted == nullptr) {
    own_figures_ = std::make_unique<observe::block>();
    to = {&own_figures_->counted, &own_figures_->measured};
  }
  requests_before_ = (*to.counted)[observe::figure::requests].read();
  driver_->record_in(to);
  timers_.record_in(to);
  // Where I/O blocks a turn would contain waiting.
  if (s.observe.recorder != 0 && !role.io_blocks)
    driver_->record_turns(std::make_unique<observe::turn_ring>(
        s.observe.recorder, static_cast<std::uint64_t>(std::chrono::nanoseconds(s.observe.slow).count()),
        is_loop_ ? observe::turn_ring::chains::stay : observe::turn_ring::chains::move));
  // Threads that only may come to wait for sockets have no epoll set until they do.
  // A ring belongs to the thread that makes it: that one opens it.
  if (is_loop_ && driver_->tries_first()) driver_->open();
  const std::lock_guard lock(listing_);
  next_ = first_;
  link_ = &first_;
  if (next_ != nullptr) next_->link_ = &next_;
  first_ = this;
}

core::~core() {
  {
    const std::lock_guard lock(listing_);
    *link_ = next_;
    if (next_ != nullptr) next_->link_ = link_;
  }
  own_work_ended_ = nullptr;
  // A worker that has a job of this core delivers it here.
  offload_->leave(this);
  // Frames first: what they own goes back to the core.
  const entered here(*this);
  while (spawned_ != nullptr) delete spawned_;
  for (const auto& destroy : frames_) destroy();
  driver_->drop_delivered();  // the jobs of frames that are gone
  while (!locals_in_order_.empty()) locals_in_order_.pop_back();
}

core::entered::entered(core& c) noexcept : before_(std::exchange(current_core, &c)), queue_(c.driver()) {}

core::entered::~entered() { current_core = before_; }

core* core::current() noexcept { return current_core; }

core& core::here() {
  if (current_core == nullptr) throw std::system_error(errc::not_on_a_core);
  return *current_core;
}

void core::run() {
  const pinned on(cpu_);
  const sigpipe_blocked quiet;
  const entered here(*this);
  const running_thread known(thread_mutex_, thread_);
  thread_id_.store(::gettid(), std::memory_order_relaxed);
  const told_thread told(*driver_);
  if (!driver_->tries_first()) driver_->open();
  const auto work = asio::make_work_guard(context_);
  for (;;) try {
      context_.run();
      return;
    } catch (const std::bad_alloc&) {
      // Of a handler that was given to Asio. What it did is lost; the core is not.
      if (!endures_.load(std::memory_order_relaxed)) throw;
      static log::limiter limit;
      if (limit.pass()) log::error("core {}: no memory for a handler of Asio", index_);
    }
}

std::size_t core::poll() {
  const sigpipe_blocked quiet;
  const entered here(*this);
  context_.restart();
  if (!driver_->tries_first()) driver_->open();
  std::size_t all = 0;
  for (;;) {
    const std::uint64_t before = driver_->progress();
    const std::size_t handlers = context_.poll();
    if (handlers == 0 && driver_->progress() == before) return all;
    all += handlers + (driver_->progress() - before);
  }
}

bool core::interrupt(int signal) noexcept {
  const std::lock_guard lock(thread_mutex_);
  return thread_ && ::pthread_kill(*thread_, signal) == 0;
}

void core::end_own_work() noexcept {
  const std::uint32_t left = own_work_.load(std::memory_order_relaxed) - 1;
  own_work_.store(left, std::memory_order_relaxed);
  if (left == 0 && own_work_ended_) own_work_ended_();
}

void core::spawn(task<> t) {
  driver_->assert_thread("core::spawn");
  new spawned(*this, std::move(t));
}

}  // namespace weir
