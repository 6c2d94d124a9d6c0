#include "weir/io/detail/readiness_driver.hpp"

#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>
#include <vector>

#include "weir/base/detail/system_call.hpp"
#include "weir/base/error.hpp"

namespace weir::io {

// What exists from open() on.
struct readiness_driver::opened {
  opened(readiness_driver& driver, std::size_t batch)
      : set(made(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
        bell(made(::eventfd(1, EFD_CLOEXEC), "eventfd")),
        events(batch) {
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
  unique_fd bell;  // always readable: setting its events again reports it once, and it is never read
  std::vector<epoll_event> events;
};

readiness_driver::readiness_driver(asio::io_context& context, bounds limits, chunk_pool& chunks)
    : driver(context, limits, chunks, true) {}

readiness_driver::~readiness_driver() { close_asio(); }

void readiness_driver::open() {
  if (set_ >= 0) return;
  auto all = std::make_unique<opened>(*this, bounds_.events);
  open_asio();
  try {
    all->add(asio_ready_, asio_descriptor(), EPOLLIN);
  } catch (...) {
    close_asio();
    throw;
  }
  opened_ = std::move(all);
  events_ = opened_->events.data();
  set_ = opened_->set.get();
  driver::opened();
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

template <bool Recorded>
std::size_t readiness_driver::poll(long microseconds) {
  int timeout = 0;
  if (microseconds != 0 && queue_.empty()) [[likely]] {
    if (may_sleep())
      timeout =
          microseconds < 0 ? -1 : static_cast<int>(std::min((microseconds - 1) / 1000 + 1, long{INT_MAX}));
  }
  end_turns<Recorded>(timeout != 0);
  const int n = system_call::epoll_wait(set_, events_, static_cast<int>(bounds_.events), timeout);
  is_awake();
  begin_batch();
  if (n <= 0) return 0;
  has_progressed();
  const std::int64_t budget = full_budget();
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
      begin_event_of<Recorded>(*reading);
      chain::proceed(*reading);
    } else if (d.level) {
      forget(d);
    }
  }
  set_running(nullptr);
  return static_cast<std::size_t>(n);
}

void readiness_driver::run(long microseconds, asio_handlers& ready) { run_in(*this, microseconds, ready); }

// The bell is always readable: setting its events again reports it once.
void readiness_driver::ring_bell() noexcept {
  epoll_event e{};
  e.events = EPOLLIN | EPOLLET;
  e.data.ptr = &rung_;
  ::epoll_ctl(set_, EPOLL_CTL_MOD, opened_->bell.get(), &e);
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
