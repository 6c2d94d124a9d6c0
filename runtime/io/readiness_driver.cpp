#include "weir/io/detail/readiness_driver.hpp"

#include <cerrno>
#include <ctime>
#include <utility>

#include "weir/base/error.hpp"

namespace weir::io {
namespace {

std::uint64_t coarse_milliseconds() noexcept {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return static_cast<std::uint64_t>(t.tv_sec * 1000 + t.tv_nsec / 1'000'000);
}

int make_set() {
  const int set = ::epoll_create1(EPOLL_CLOEXEC);
  if (set < 0) throw_system_error(errno, "epoll_create1");
  return set;
}

}  // namespace

readiness_driver::readiness_driver(asio::io_context& context, bounds limits, chunk_pool& chunks)
    : context_(context),
      bounds_(limits),
      chunks_(chunks),
      budget_(limits.inline_budget),
      now_(coarse_milliseconds()) {}

void readiness_driver::open() {
  if (set_ >= 0) return;
  events_.resize(bounds_.events);
  unique_fd set(make_set());
  in_asio_.emplace(context_, set.get());
  set_ = set.release();
  wait();
}

readiness_driver::~readiness_driver() { drop_delivered(); }

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
  now_runs(&root);
  root.resume();
  now_runs(nullptr);
}

void readiness_driver::schedule(chain& root) noexcept {
  assert_thread("scheduling a chain");
  if (!queue_.push(root) || running_) return;
  running_ = true;
  post_turn();
}

void readiness_driver::post_turn() noexcept {
  if (std::exchange(posted_, true)) return;
  asio::post(context_, kept_in(turn_memory_, [this] {
               posted_ = false;
               on_ready();
             }));
}

void readiness_driver::unschedule(chain& root) noexcept {
  assert_thread("unscheduling a chain");
  queue_.remove(root);
}

void readiness_driver::deliver(remote_wake* w) noexcept {
  remote_wake* before = delivered_.load(std::memory_order_relaxed);
  do {
    w->next = before;
  } while (
      !delivered_.compare_exchange_weak(before, w, std::memory_order_acq_rel, std::memory_order_relaxed));
  // From here on `w` belongs to the home thread. The thread that finds the stack empty wakes the home thread,
  // for all that follow.
  if (before == nullptr) asio::post(context_, kept_in(delivery_memory_, [this] { take_delivered(); }));
}

void readiness_driver::drop_delivered() noexcept {
  remote_wake* w = delivered_.exchange(nullptr, std::memory_order_acq_rel);
  while (w != nullptr) remote_wake::dropped(std::exchange(w, w->next));
}

void readiness_driver::take_delivered() {
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
  if (running_ || queue_.empty()) return;
  // Now: a turn of Asio's and a poll of the sockets first would cost a system call each.
  running_ = true;
  begin_batch();
  give_turns();
  if (queue_.empty())
    running_ = false;
  else
    post_turn();
}

void readiness_driver::wait() {
  if (waiting_) return;
  waiting_ = true;
  in_asio_->async_wait(asio::posix::stream_descriptor::wait_read,
                       kept_in(wait_memory_, [this](error_code ec) {
                         waiting_ = false;
                         if (!ec) on_ready();
                       }));
}

void readiness_driver::on_ready() {
  running_ = true;
  const std::uint32_t rounds = bounds_.one_turn ? 1 : bounds_.polls_per_turn;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    const std::size_t n = poll();
    give_turns();
    // After one lone event another poll would most likely find nothing; Asio's wait sees the next event as
    // well.
    if (n < 2 && queue_.empty()) break;
    if (std::exchange(round_ends_, false)) break;
  }
  if (!queue_.empty())
    post_turn();
  else
    running_ = false;
  if (in_asio_) wait();
}

// Several turns for each epoll_wait: chains that only wait for each other cost no system call per turn.
void readiness_driver::give_turns() {
  queue_.run(bounds_.one_turn ? 1 : bounds_.inline_budget, round_ends_, [this](chain& root) {
    budget_ = bounds_.inline_budget;
    now_runs(&root);
  });
  now_runs(nullptr);
}

void readiness_driver::begin_batch() noexcept {
  refresh_now();
  batch_.store(batch() + 1, std::memory_order_relaxed);
}

std::size_t readiness_driver::poll() {
  const int n = set_ < 0 ? 0 : ::epoll_wait(set_, events_.data(), static_cast<int>(events_.size()), 0);
  begin_batch();
  const epoll_event* const end = events_.data() + (n > 0 ? n : 0);
  for (const epoll_event* e = events_.data(); e != end; ++e) {
    auto& d = *static_cast<descriptor*>(e->data.ptr);
    const std::uint32_t events = e->events;
    if ((events & ~std::uint32_t{EPOLLIN}) != 0) [[unlikely]] {
      more_than_input(d, events);
      continue;
    }
    d.readable = true;
    if (d.reading != nullptr) [[likely]] {
      give_turn(*d.reading);
    } else if (d.level) {
      forget(d);
    }
  }
  return n > 0 ? static_cast<std::size_t>(n) : 0;
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
