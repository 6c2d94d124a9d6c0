#include "weir/base/detail/asio_task.hpp"

#include <sys/epoll.h>
#include <sys/timerfd.h>

#include <atomic>
#include <cerrno>
#include <memory>

#include "weir/base/error.hpp"

namespace weir {
namespace {

using asio::detail::epoll_reactor;
using asio::detail::scheduler;
using scheduler_mutex = asio::detail::conditionally_enabled_mutex;

// Access rules do not apply to the arguments of an explicit instantiation. An error in one of the four lines
// that instantiate these means that this release of Asio has another name for a private member that weir
// needs.
template <auto Member>
struct task_of_the_scheduler {
  friend asio_task*& task_of(scheduler& s) { return s.*Member; }
};
template <auto Member>
struct mutex_of_the_scheduler {
  friend scheduler_mutex& mutex_of(scheduler& s) { return s.*Member; }
};
template <auto Member>
struct set_of_the_reactor {
  friend int set_of(epoll_reactor& r) { return r.*Member; }
};
template <auto Member>
struct timer_of_the_reactor {
  friend int& timer_of(epoll_reactor& r) { return r.*Member; }
};
asio_task*& task_of(scheduler&);
scheduler_mutex& mutex_of(scheduler&);
int set_of(epoll_reactor&);
int& timer_of(epoll_reactor&);
template struct task_of_the_scheduler<&scheduler::task_>;
template struct mutex_of_the_scheduler<&scheduler::mutex_>;
template struct set_of_the_reactor<&epoll_reactor::epoll_fd_>;
template struct timer_of_the_reactor<&epoll_reactor::timer_fd_>;

// Asio makes do without a timer descriptor where none was free, by a timeout of its own wait, in which no
// thread waits here.
void make_timer(epoll_reactor& reactor) {
  int& timer = timer_of(reactor);
  if (timer >= 0) return;
  const int made = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (made < 0) throw_system_error(errno, "timerfd_create");
  epoll_event e{};
  e.events = EPOLLIN | EPOLLERR;
  e.data.ptr = &timer;
  if (::epoll_ctl(set_of(reactor), EPOLL_CTL_ADD, made, &e) != 0) {
    const int error = errno;
    ::close(made);
    throw_system_error(error, "epoll_ctl");
  }
  timer = made;
}

}  // namespace

asio_wait::asio_wait(asio::io_context& context, asio_task& ours)
    : scheduler_(asio::use_service<scheduler>(context)),
      reactor_(asio::use_service<epoll_reactor>(context)),
      descriptor_(set_of(reactor_)) {
  make_timer(reactor_);
  reactor_.init_task();
  scheduler_.work_started();
  const scheduler_mutex::scoped_lock lock(mutex_of(scheduler_));
  task_of(scheduler_) = &ours;
}

asio_wait::~asio_wait() {
  {
    const scheduler_mutex::scoped_lock lock(mutex_of(scheduler_));
    task_of(scheduler_) = &reactor_;
  }
  scheduler_.work_finished();
}

struct asio_turn::operation : asio::detail::scheduler_operation {
  operation(function f, void* a) : scheduler_operation(&complete), run(f), argument(a) {}

  // `owner` is null when the io_context goes.
  static void complete(void* owner, scheduler_operation* self, const asio::error_code&, std::size_t) {
    auto& o = *static_cast<operation*>(self);
    if (o.run == nullptr) {
      delete &o;
      return;
    }
    o.requested.store(false);  // from here on a request is another one
    if (owner != nullptr) o.run(o.argument);
  }

  function run;  // null when the turn's owner has gone
  void* argument;
  std::atomic<bool> requested{false};
};

asio_turn::asio_turn(asio::io_context& context, function run, void* argument)
    : scheduler_(asio::use_service<scheduler>(context)), operation_(new operation(run, argument)) {}

asio_turn::~asio_turn() {
  if (operation_->requested.load())
    operation_->run = nullptr;  // it is in Asio's queue, which frees it
  else
    delete operation_;
}

void asio_turn::request() noexcept {
  if (!operation_->requested.exchange(true)) scheduler_.post_immediate_completion(operation_, false);
}

}  // namespace weir
