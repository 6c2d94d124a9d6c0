#include "weir/accept/detail/accept_thread.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <system_error>
#include <thread>
#include <utility>

#include "accept_error.hpp"
#include "weir/base/error.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;

// Of the calling thread, if it accepts: a signal for it is on its way.
constinit thread_local std::atomic<bool>* signalled_here = nullptr;

// Ends a wait with EINTR.
int wake_signal() {
  static const int number = [] {
    struct sigaction action{};
    action.sa_handler = [](int) {
      if (signalled_here != nullptr) *signalled_here = false;
    };
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGRTMIN, &action, nullptr);
    return SIGRTMIN;
  }();
  return number;
}

// The new thread takes no signal that another thread expects.
class only_wake_signal {
 public:
  only_wake_signal() {
    ::sigset_t others;
    ::sigfillset(&others);
    ::sigdelset(&others, wake_signal());
    ::pthread_sigmask(SIG_SETMASK, &others, &before_);
  }
  only_wake_signal(const only_wake_signal&) = delete;
  only_wake_signal& operator=(const only_wake_signal&) = delete;
  ~only_wake_signal() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  ::sigset_t before_;
};

// A client that comes makes this thread ready to run, but does not take the CPU from the loop, which is at
// work for other clients and wants the next one only afterwards. A policy that the program was started with
// stays.
void interrupt_nobody() noexcept {
  int policy = 0;
  ::sched_param parameters{};
  if (::pthread_getschedparam(::pthread_self(), &policy, &parameters) == 0 && policy == SCHED_OTHER)
    ::pthread_setschedparam(::pthread_self(), SCHED_BATCH, &parameters);
}

// Bytes of the lock's file.
constexpr ::off_t place_in_front = 0;
constexpr ::off_t turn = 1;

// With F_SETLKW it waits, with F_SETLK it does not.
bool set_lock(int file, ::off_t which, short type, int command = F_SETLKW) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = which;
  lock.l_len = 1;
  return ::fcntl(file, command, &lock) == 0;
}

// This process cannot take connections for a while, and its siblings do not wait for it.
class held_up {
 public:
  explicit held_up(sibling_workers* told) noexcept : told_(told) {
    if (told_ != nullptr) told_->hold_up(true);
  }
  held_up(const held_up&) = delete;
  held_up& operator=(const held_up&) = delete;
  ~held_up() {
    if (told_ != nullptr) told_->hold_up(false);
  }

 private:
  sibling_workers* told_;
};

}  // namespace

accept_thread::accept_thread(listening on, permit_pool& permits, std::function<void(accepted_socket)> deliver,
                             excess_kind excess)
    : accept_thread(std::vector{std::move(on)}, -1, permits, std::move(deliver), excess) {}

accept_thread::accept_thread(std::vector<listening> on, int lock, permit_pool& permits,
                             std::function<void(accepted_socket)> deliver, excess_kind excess)
    : on_(std::move(on)),
      lock_(lock),
      permits_(permits),
      deliver_(std::move(deliver)),
      refuse_(excess == excess_kind::refuse) {
  for (const listening& each : on_) polled_.push_back({each.fd, POLLIN, 0});
}

void accept_thread::start() {
  const only_wake_signal inherited;
  thread_ = std::thread([this] { run(); });
}

void accept_thread::stop() noexcept {
  if (!thread_.joinable()) return;
  stopping_ = true;
  {
    std::unique_lock lock(mutex_);
    changed_.notify_all();
    // A signal that comes just before the system call is lost on it, so there is another.
    while (!ended_) {
      interrupt();
      changed_.wait_for(lock, 1ms);
    }
  }
  thread_.join();
}

void accept_thread::retry() noexcept {
  const std::lock_guard lock(mutex_);
  // The thread exists until it is joined, which stop() does after it has ended.
  if (thread_.joinable() && !ended_) interrupt();
}

// One signal at a time. Signals of this kind are queued: a thread that is sent more of them than it can take
// runs their handler and nothing else.
void accept_thread::interrupt() noexcept {
  if (signalled_.exchange(true)) return;
  if (::pthread_kill(thread_.native_handle(), wake_signal()) != 0) signalled_ = false;  // the queue is full
}

template <class Fact>
void accept_thread::wait_until(Fact fact, std::chrono::milliseconds most) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, most, [&] { return stopping_ || fact(); });
}

permit_pool::permit accept_thread::wait_for_permit() {
  for (;;) {
    permit_pool::permit permit = permits_.try_acquire();
    if (permit || refuse_ || stopping_) return permit;
    const held_up told(siblings_);
    {
      const std::lock_guard lock(mutex_);
      room_ = false;
    }
    permits_.when_available([this] {
      const std::lock_guard lock(mutex_);
      room_ = true;
      changed_.notify_all();
    });
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return room_ || stopping_; });
  }
}

void accept_thread::has_caught_up() noexcept {
  if (!waits_for_loop_) return;
  {
    // The thread has looked before this, and waits, or it looks after it.
    const std::lock_guard lock(mutex_);
  }
  changed_.notify_all();  // not within the mutex, for which the thread would have to wait next
}

// A loop that a handler holds up takes nothing up. For 250 ms its siblings still count it, so that a loop
// that waits for its CPU keeps its share; then they do not wait for it any more. A time, because no count
// tells the two apart: neither loop turns. If it is wrong, the shares are uneven or a client waits for 250
// ms; no connection is lost.
void accept_thread::wait_for_loop() {
  if (!behind_ || !behind_()) return;
  // Before the next look: either it sees that nothing waits, or the loop sees that this thread waits.
  waits_for_loop_ = true;
  wait_until([this] { return !behind_(); }, 250ms);
  if (!stopping_ && behind_()) {
    const held_up told(siblings_);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return stopping_ || !behind_(); });
  }
  waits_for_loop_ = false;
}

// A burst would be one worker's otherwise: that of the thread which has the CPU. The permit of this thread
// counts already, so no two threads can both believe that the next connection is within their shares.
void accept_thread::wait_for_share() {
  if (siblings_ == nullptr) return;
  siblings_->has_grown();
  while (!stopping_ && siblings_->own_is_above_share()) {
    // There is nothing to decide before a client comes.
    if (poll_all(-1) != 0) continue;
    // The wait ends when a sibling has taken what there is, or enough connections of this process have ended.
    // It also ends after a moment, to look at all of it again: a sibling has died.
    const permit_pool::watch watching(permits_);
    siblings_->wait_for_least(least_needed_for(siblings_->own_load()), 20ms);
  }
}

// 0 or an errno.
int accept_thread::poll_all(int timeout) {
  return ::poll(polled_.data(), polled_.size(), timeout) < 0 ? errno : 0;
}

// 0 or an errno.
int accept_thread::accept_one(permit_pool::permit permit, const listening& from) {
  sockaddr_storage address;
  socklen_t size = sizeof address;
  unique_fd fd(
      ::accept4(from.fd, reinterpret_cast<sockaddr*>(&address), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!fd) return errno;
  holds_permit_ = false;
  if (!permit) permit = permits_.try_acquire();  // one that came free meanwhile
  if (!permit) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    return 0;
  }
  accepted_.fetch_add(1, std::memory_order_relaxed);
  deliver_({std::move(fd), peer_address::from(reinterpret_cast<const sockaddr*>(&address), size),
            std::move(permit), from.address.layers()});
  return 0;
}

// 0 or an errno. Two locks, or the process that gives the one back would have it again before the next
// process has woken up. The next process holds the place in front, and gives it up only when it has the turn.
int accept_thread::wait_for_turn() {
  const int command = siblings_ != nullptr && siblings_->any_passed_over() ? F_SETLK : F_SETLKW;
  if (!set_lock(lock_, place_in_front, F_WRLCK, command)) return errno;
  const int error = set_lock(lock_, turn, F_WRLCK, command) ? 0 : errno;
  unlock(place_in_front);
  return error;
}

// A lock that stays would keep all other processes from accepting. Closing any descriptor of its file gives
// up all locks that this process has on it.
void accept_thread::unlock(::off_t which) {
  while (!set_lock(lock_, which, F_UNLCK, F_SETLK)) {
    if (const auto held_back = log_limit_.pass())
      log::error("the accept lock: {}; it is given up by closing it ({} more since the last line)",
                 std::generic_category().message(errno), *held_back);
    if (const unique_fd other(::dup(lock_)); other) return;
    if (stopping_) return;
    wait_until([] { return false; }, 10ms);
  }
}

int accept_thread::accept_in_turn(permit_pool::permit permit) {
  if (const int error = wait_for_turn(); error == 0) {
    const int result = accept_from_any(std::move(permit));
    unlock(turn);
    return result;
  } else if (error != EAGAIN && error != EACCES) {
    return error;
  }
  // A process that is stopped holds the lock. Without it several processes may be woken for one connection.
  return accept_from_any(std::move(permit));
}

int accept_thread::accept_from_any(permit_pool::permit permit) {
  if (const int error = poll_all(-1); error != 0) return error;
  // The counts may have changed while it waited: then it waits for its share, and its siblings have their
  // turn.
  if (siblings_ != nullptr && siblings_->own_is_above_share()) return EINTR;
  // From the listener after the last one, so that no listener starves another.
  std::size_t i = next_;
  while (polled_[i].revents == 0) i = (i + 1) % polled_.size();
  next_ = (i + 1) % polled_.size();
  return accept_one(std::move(permit), on_[i]);
}

void accept_thread::run() noexcept {
  ::pthread_setname_np(::pthread_self(), "weir accept");  // from elsewhere it would take a descriptor
  signalled_here = &signalled_;
  signalled_ = false;  // a signal that came before is not noted
  interrupt_nobody();
  auto pause = 100ms;
  int failures = 0;
  while (!stopping_) {
    int error = ENOMEM;
    try {
      wait_for_loop();
      permit_pool::permit permit = wait_for_permit();
      if (stopping_) break;
      holds_permit_ = static_cast<bool>(permit);
      wait_for_share();
      if (stopping_) break;
      error = lock_ < 0 ? accept_one(std::move(permit), on_[0]) : accept_in_turn(std::move(permit));
    } catch (...) {  // no memory for the wait for a permit; a hand-over throws nothing
    }
    holds_permit_ = false;
    if (error == 0) {
      pause = 100ms;
      failures = 0;
    } else if (error == EAGAIN) {
      fruitless_.fetch_add(1, std::memory_order_relaxed);
      if (lock_ < 0) poll_all(-1);
    } else if (const remedy what = remedy_for(error); what == remedy::give_up) {
      log::error("accept on {}: {}; this listener is closed", on_[0].address, text_of(error));
      break;
    } else if (error != EINTR && (what == remedy::pause || ++failures >= 16)) {
      make_room_after(error);
      if (const auto held_back = log_limit_.pass())
        log::warning("accept on {}: {}; pausing for {} ms ({} more since the last line)", on_[0].address,
                     text_of(error), pause.count(), *held_back);
      pauses_.fetch_add(1, std::memory_order_release);  // after its line
      const held_up told(siblings_);
      wait_until([] { return false; }, pause);
      pause = std::min(pause * 2, 500ms);
    }
  }
  holds_permit_ = false;
  if (siblings_ != nullptr) siblings_->hold_up(true);
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

}  // namespace weir
