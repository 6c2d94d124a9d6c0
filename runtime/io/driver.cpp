#include "weir/io/detail/driver.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "weir/base/error.hpp"

namespace weir::io {
namespace {

// Of drivers that were given no place.
observe::figures uncounted;
observe::histograms unmeasured;

constexpr std::uint32_t rarest_measured = 512;         // turns
constexpr std::uint64_t measuring_pause = 20'000'000;  // nanoseconds

std::uint64_t nanoseconds(clockid_t clock = CLOCK_MONOTONIC) noexcept {
  timespec t;
  ::clock_gettime(clock, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

}  // namespace

driver::driver(asio::io_context& context, bounds limits, chunk_pool& chunks, bool tries_first)
    : bounds_(limits),
      budget_(full_budget()),
      context_(context),
      chunks_(chunks),
      recorder_{&uncounted, &unmeasured},
      tries_first_(tries_first),
      turn_(
          context, [](void* self) { static_cast<driver*>(self)->turn_without_set(); }, this),
      now_(coarse_milliseconds()) {
  asio_ready_.readable = false;
}

driver::~driver() { drop_delivered(); }

unique_fd driver::made(int fd, const char* by) {
  if (fd < 0) throw_system_error(errno, by);
  return unique_fd(fd);
}

void driver::begin_wait(descriptor& on, descriptor::watch what) noexcept {
  if (on.mode == wait_mode::loop) return watch(on, what);
  elsewhere_(on, what == descriptor::watch::reads);
}

void driver::run_now(chain& root) {
  assert_thread("running a chain");
  refresh_now();
  budget_ = full_budget();
  begin_turn(root);
  root.resume();
  set_running(nullptr);
  if (turns_) turns_->begin(beside_turns(observe::turn::of_loop));
}

void driver::schedule(chain& root) noexcept {
  assert_thread("scheduling a chain");
  if (queue_.push(root) && !is_open()) turn_.request();
}

void driver::unschedule(chain& root) noexcept {
  assert_thread("unscheduling a chain");
  queue_.remove(root);
}

void driver::deliver(remote_wake* w) noexcept {
  remote_wake* before = delivered_.load(std::memory_order_relaxed);
  do {
    w->next = before;
  } while (!delivered_.compare_exchange_weak(before, w));
  // From here on `w` belongs to the home thread.
  wake_up();
}

void driver::drop_delivered() noexcept {
  remote_wake* w = delivered_.exchange(nullptr, std::memory_order_acq_rel);
  while (w != nullptr) remote_wake::dropped(std::exchange(w, w->next));
}

void driver::take_all_delivered() noexcept {
  ++progress_;
  remote_wake* newest = delivered_.exchange(nullptr, std::memory_order_acq_rel);
  remote_wake* oldest = nullptr;
  while (newest != nullptr) {
    remote_wake* const w = std::exchange(newest, newest->next);
    w->next = std::exchange(oldest, w);
  }
  while (oldest != nullptr) {
    remote_wake* const w = std::exchange(oldest, oldest->next);
    if (chain* const root = remote_wake::arrived(w)) queue_.push(*root);
  }
}

// Any thread, which has left something to be found.
void driver::wake_up() noexcept {
  if (!has_set_.load()) return turn_.request();
  if (sleeping_.exchange(false)) ring_bell();
}

// Called by Asio, on any thread, where its handlers are not to wait until the next event.
void driver::interrupt() {
  interrupted_.store(true);
  wake_up();
}

// The turn ends where the driver goes back to Asio, which is brought about here.
void driver::begin_measuring() noexcept {
  measured_from_ = nanoseconds();
  round_ends_ = true;
  interrupted_.store(true, std::memory_order_relaxed);
}

void driver::end_measuring() noexcept {
  const std::uint64_t now = nanoseconds();
  const std::uint64_t took = now - std::exchange(measured_from_, 0);
  of(measured(), observe::measure::turn).record(took);
  // As many turns as pass in the pause, if they go on as they did.
  const std::uint64_t passed = now - std::exchange(last_measured_, now);
  const std::uint64_t fitting = std::uint64_t{measured_each_} * measuring_pause / (passed + 1);
  measured_each_ = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(fitting, 1, rarest_measured));
  until_measured_ = measured_each_;
  write_levels();
}

void driver::write_levels() noexcept {
  observe::figures& f = counted();
  f[observe::figure::turns].set(batches_before_ + batch());
  f[observe::figure::run_queue].set(queue_.size());
  f[observe::figure::chunks].set(chunks_.allocated());
  f[observe::figure::chunk_bytes].set(chunks_.allocated() * chunks_.capacity());
  if (cpu_counted_ == 0) return;
  const std::uint64_t cpu = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
  f[observe::figure::busy_nanoseconds].add(cpu - std::exchange(cpu_counted_, cpu));
}

void driver::thread_begins() noexcept {
  cpu_counted_ = std::max<std::uint64_t>(nanoseconds(CLOCK_THREAD_CPUTIME_ID), 1);
}

void driver::thread_ends() noexcept {
  write_levels();
  cpu_counted_ = 0;
}

void driver::turn_without_set() {
  begin_batch();
  take_delivered();
  give_turns();
  if (measured_from_ != 0) end_measuring();
  if (turns_) turns_->begin(beside_turns(observe::turn::looks));
  if (!queue_.empty() && !is_open()) turn_.request();
}

// Several turns for each wait: chains that only wait for each other cost no system call per turn.
void driver::give_turns() {
  ++progress_;
  queue_.run(bounds_.one_turn ? 1 : bounds_.inline_budget, round_ends_, [this](chain& root) {
    budget_ = full_budget();
    begin_turn(root);
  });
  set_running(nullptr);
}

}  // namespace weir::io
