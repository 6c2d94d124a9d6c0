#include "weir/io/detail/readiness_driver.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <ctime>
#include <utility>
#include <vector>

#include "weir/base/detail/system_call.hpp"
#include "weir/base/error.hpp"

namespace weir::io {
namespace {

std::uint64_t coarse_milliseconds() noexcept {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return static_cast<std::uint64_t>(t.tv_sec * 1000 + t.tv_nsec / 1'000'000);
}

unique_fd made(int fd, const char* by) {
  if (fd < 0) throw_system_error(errno, by);
  return unique_fd(fd);
}

}  // namespace

// What exists from open() on.
struct readiness_driver::opened {
  opened(readiness_driver& driver, std::size_t batch)
      : set(made(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
        bell(made(::eventfd(1, EFD_CLOEXEC), "eventfd")),
        wait(driver.context_, driver),
        events(batch) {
    add(driver.asio_ready_, wait.descriptor(), EPOLLIN);
    add(driver.rung_, bell.get(), EPOLLIN | EPOLLET);
  }
  opened(const opened&) = delete;
  opened& operator=(const opened&) = delete;

  void add(descriptor& d, int fd, std::uint32_t how) const {
    epoll_event e{};
    e.events = how;
    e.data.ptr = &d;
    if (::epoll_ctl(set.get(), EPOLL_CTL_ADD, fd, &e) != 0) throw_system_error(errno, "epoll_ctl");
  }

  unique_fd set;
  unique_fd bell;  // always readable: setting its events again reports it once, and nobody reads it
  asio_wait wait;
  std::vector<epoll_event> events;
};

readiness_driver::readiness_driver(asio::io_context& context, bounds limits, chunk_pool& chunks)
    : context_(context),
      bounds_(limits),
      chunks_(chunks),
      turn_(
          context, [](void* self) { static_cast<readiness_driver*>(self)->turn_without_set(); }, this),
      budget_(limits.inline_budget),
      now_(coarse_milliseconds()) {}

readiness_driver::~readiness_driver() { drop_delivered(); }

void readiness_driver::open() {
  if (set_ >= 0) return;
  opened_ = std::make_unique<opened>(*this, bounds_.events);
  asio_ready_.readable = false;
  events_ = opened_->events.data();
  set_ = opened_->set.get();
  has_set_.store(true);
}

std::uint64_t readiness_driver::refresh_now() noexcept {
  if (!held_) now_ = coarse_milliseconds();
  return now_;
}

void readiness_driver::register_or_send_elsewhere(descriptor& on, descriptor::watch what) noexcept {
  if (on.mode == wait_mode::loop) return watch(on, what);
  elsewhere_(on, what == descriptor::watch::reads);
}

void readiness_driver::watch(descriptor& on, descriptor::watch what) noexcept {
  assert_thread("watching a descriptor");
  if (const int error = try_watch(on, what); error != 0) {
    // No event would come, and trying again would take all of the CPU.
    operation*& waiting = what == descriptor::watch::both ? on.writing : on.reading;
    operation& op = *std::exchange(waiting, nullptr);
    op.root->wait_failed(op, error);
  }
}

int readiness_driver::try_watch(descriptor& on, descriptor::watch what) noexcept {
  if (set_ < 0) try {
      open();
    } catch (const std::system_error& e) {
      return e.code().value();
    } catch (...) {
      return ENOMEM;
    }
  epoll_event e{};
  e.events = EPOLLIN | EPOLLRDHUP;
  // Urgent data: a read ends before it, so that a short read does not mean that nothing is left. Not with a
  // level: the kernel reports it until the input behind it is read.
  if (!on.level) e.events |= EPOLLET | EPOLLPRI;
  if (what == descriptor::watch::both) e.events |= EPOLLOUT;
  e.data.ptr = &on;
  const int how = on.watched == descriptor::watch::none ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (::epoll_ctl(set_, how, on.fd, &e) != 0) return errno;
  on.watched = what;
  return 0;
}

void readiness_driver::forget(descriptor& on) noexcept {
  if (std::exchange(on.watched, descriptor::watch::none) == descriptor::watch::none) return;
  epoll_event ignored{};
  ::epoll_ctl(set_, EPOLL_CTL_DEL, on.fd, &ignored);
}

int readiness_driver::arm_once(descriptor& on, bool for_reading) noexcept {
  epoll_event e{};
  e.events = (for_reading ? EPOLLIN | EPOLLRDHUP : EPOLLOUT) | EPOLLONESHOT;
  e.data.ptr = &on;
  const int how = on.watched == descriptor::watch::none ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (::epoll_ctl(set_, how, on.fd, &e) != 0) return errno;
  on.watched = descriptor::watch::both;
  return 0;
}

void readiness_driver::run_now(chain& root) {
  assert_thread("running a chain");
  refresh_now();
  budget_ = bounds_.inline_budget;
  set_running(&root);
  root.resume();
  set_running(nullptr);
}

void readiness_driver::schedule(chain& root) noexcept {
  assert_thread("scheduling a chain");
  if (queue_.push(root) && set_ < 0) turn_.request();
}

void readiness_driver::unschedule(chain& root) noexcept {
  assert_thread("unscheduling a chain");
  queue_.remove(root);
}

void readiness_driver::deliver(remote_wake* w) noexcept {
  remote_wake* before = delivered_.load(std::memory_order_relaxed);
  do {
    w->next = before;
  } while (!delivered_.compare_exchange_weak(before, w));
  // From here on `w` belongs to the home thread.
  wake_up();
}

void readiness_driver::drop_delivered() noexcept {
  remote_wake* w = delivered_.exchange(nullptr, std::memory_order_acq_rel);
  while (w != nullptr) remote_wake::dropped(std::exchange(w, w->next));
}

void readiness_driver::take_delivered() noexcept {
  if (delivered_.load(std::memory_order_relaxed) == nullptr) [[likely]]
    return;
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
void readiness_driver::wake_up() noexcept {
  if (!has_set_.load()) return turn_.request();
  if (!sleeping_.exchange(false)) return;
  epoll_event e{};
  e.events = EPOLLIN | EPOLLET;
  e.data.ptr = &rung_;
  ::epoll_ctl(set_, EPOLL_CTL_MOD, opened_->bell.get(), &e);
}

// Called by Asio, on any thread, where its handlers are not to wait until the next event.
void readiness_driver::interrupt() {
  interrupted_.store(true);
  wake_up();
}

void readiness_driver::turn_without_set() {
  begin_batch();
  take_delivered();
  give_turns();
  if (!queue_.empty() && set_ < 0) turn_.request();
}

// Called by Asio where it would wait: for ever if `microseconds` is negative, which nobody but this ends.
void readiness_driver::run(long microseconds, asio_handlers& ready) {
  const std::uint32_t rounds = bounds_.one_turn ? 1 : bounds_.polls_per_turn;
  for (std::uint32_t round = 1;; ++round) {
    round_ends_ = false;
    // Handlers that were posted on this thread are in `ready`, without a word.
    const std::size_t n = poll(ready.empty() ? microseconds : 0);
    take_delivered();
    if (!queue_.empty()) give_turns();
    if (microseconds < 0 && ready.empty() && !asio_ready_.readable &&
        !interrupted_.load(std::memory_order_relaxed)) [[likely]]
      continue;
    // After one lone event another poll would most likely find nothing.
    if ((n < 2 && queue_.empty()) || round >= rounds || round_ends_) break;
  }
  interrupted_.store(false, std::memory_order_relaxed);
  if (std::exchange(asio_ready_.readable, false)) opened_->wait.run_reactor(ready);
}

// Several turns for each epoll_wait: chains that only wait for each other cost no system call per turn.
void readiness_driver::give_turns() {
  ++progress_;
  queue_.run(bounds_.one_turn ? 1 : bounds_.inline_budget, round_ends_, [this](chain& root) {
    budget_ = bounds_.inline_budget;
    set_running(&root);
  });
  set_running(nullptr);
}

void readiness_driver::begin_batch() noexcept {
  refresh_now();
  batch_.store(batch() + 1, std::memory_order_relaxed);
}

std::size_t readiness_driver::poll(long microseconds) {
  int timeout = 0;
  if (microseconds != 0 && queue_.empty()) [[likely]] {
    sleeping_.store(true);
    if (delivered_.load() == nullptr && !interrupted_.load())
      timeout =
          microseconds < 0 ? -1 : static_cast<int>(std::min((microseconds - 1) / 1000 + 1, long{INT_MAX}));
  }
  const int n = system_call::epoll_wait(set_, events_, static_cast<int>(bounds_.events), timeout);
  sleeping_.store(false, std::memory_order_relaxed);
  begin_batch();
  if (n <= 0) return 0;
  ++progress_;
  const std::int64_t budget = bounds_.inline_budget;
  const epoll_event* const end = events_ + n;
  for (const epoll_event* e = events_; e != end; ++e) {
    auto& d = *static_cast<descriptor*>(e->data.ptr);
    const std::uint32_t events = e->events;
    if ((events & ~std::uint32_t{EPOLLIN}) != 0) [[unlikely]] {
      more_than_input(d, events);
      continue;
    }
    d.readable = true;
    if (operation* const reading = d.reading; reading != nullptr) [[likely]] {
      budget_ = budget;
      set_running(reading->root);
      chain::proceed(*reading);
    } else if (d.level) {
      forget(d);
    }
  }
  set_running(nullptr);
  return static_cast<std::size_t>(n);
}

void readiness_driver::more_than_input(descriptor& d, std::uint32_t events) {
  const bool input = (events & ~std::uint32_t{EPOLLOUT}) != 0;
  const bool room = (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0;
  d.readable |= input;
  d.writable |= room;
  d.reads_until_eagain |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)) != 0;
  operation* const reading = input ? d.reading : nullptr;
  operation* const writing = room ? d.writing : nullptr;
  if (input && reading == nullptr && d.level) forget(d);
  // Resuming may migrate `d` to another thread, or destroy it. Resume at most one operation and do not touch
  // `d` afterwards.
  if (reading != nullptr && writing != nullptr && reading != writing) writing->root->schedule();
  if (reading != nullptr)
    give_turn(*reading);
  else if (writing != nullptr)
    give_turn(*writing);
}

}  // namespace weir::io
