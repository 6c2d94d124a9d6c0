#include "weir/accept/detail/accept_thread.hpp"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>

#include "accept_error.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;

// Ends a wait with EINTR and does nothing.
int wake_signal() {
  static const int number = [] {
    struct sigaction action{};
    action.sa_handler = [](int) {};
    ::sigemptyset(&action.sa_mask);
    ::sigaction(SIGRTMIN, &action, nullptr);
    return SIGRTMIN;
  }();
  return number;
}

// The new thread takes no other signal from those who expect it.
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

// Bytes of the lock's file.
constexpr ::off_t place_in_front = 0;
constexpr ::off_t turn = 1;

bool set_lock(int file, ::off_t which, short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = which;
  lock.l_len = 1;
  return ::fcntl(file, F_SETLKW, &lock) == 0;
}

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
      refuse_(excess == excess_kind::refuse) {}

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
      ::pthread_kill(thread_.native_handle(), wake_signal());
      changed_.wait_for(lock, 1ms);
    }
  }
  thread_.join();
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

// A burst would be one worker's otherwise: that of the thread which is awake already. In naps, because
// nothing tells when another process has taken a connection.
void accept_thread::let_others_come_first() {
  constexpr int most_naps = 10;
  constexpr std::uint32_t after_none_came = 64;
  if (!least_beside_) return;
  if (impatient_ != 0) {
    --impatient_;
    return;
  }
  const std::uint32_t at_first = least_beside_();
  std::uint32_t least = at_first;
  for (int naps = 0; !stopping_ && permits_.in_use() > std::uint64_t{least} + least / 8 + 2; ++naps) {
    if (naps == most_naps) {
      if (least == at_first) impatient_ = after_none_came;
      return;
    }
    std::this_thread::sleep_for(100us);
    least = least_beside_();
  }
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
            std::move(permit)});
  return 0;
}

int accept_thread::accept_in_turn(permit_pool::permit permit) {
  if (permits_.in_use() > permits_.limit() - permits_.limit() / 8) wait_until([] { return false; }, 5ms);
  // Two locks, or who gives the one back would have it again before the next in line has woken up. That one
  // holds the place in front, and gives it up only when it has the turn.
  if (!set_lock(lock_, place_in_front, F_WRLCK)) return errno;
  const bool my_turn = set_lock(lock_, turn, F_WRLCK);
  const int interrupted = my_turn ? 0 : errno;
  set_lock(lock_, place_in_front, F_UNLCK);
  if (!my_turn) return interrupted;
  std::vector<pollfd> set;
  for (const listening& each : on_) set.push_back({each.fd, POLLIN, 0});
  int error = ::poll(set.data(), set.size(), -1) < 0 ? errno : 0;
  if (error == 0) {
    // From where it stopped last, so that no listener starves another.
    std::size_t i = next_;
    while (set[i].revents == 0) i = (i + 1) % set.size();
    next_ = (i + 1) % set.size();
    error = accept_one(std::move(permit), on_[i]);
  }
  set_lock(lock_, turn, F_UNLCK);
  return error;
}

void accept_thread::run() noexcept {
  ::pthread_setname_np(::pthread_self(), "weir accept");  // from elsewhere it would take a descriptor
  auto pause = 100ms;
  int failures = 0;
  while (!stopping_) {
    int error = ENOMEM;
    try {
      permit_pool::permit permit = wait_for_permit();
      if (stopping_) break;
      holds_permit_ = static_cast<bool>(permit);
      let_others_come_first();
      error = lock_ < 0 ? accept_one(std::move(permit), on_[0]) : accept_in_turn(std::move(permit));
    } catch (const std::exception& e) {
      if (log_limit_.pass()) log::error("a connection is dropped: {}", e.what());
    }
    holds_permit_ = false;
    if (error == 0) {
      pause = 100ms;
      failures = 0;
    } else if (error == EAGAIN) {
      fruitless_.fetch_add(1, std::memory_order_relaxed);
      pollfd p{on_[0].fd, POLLIN, 0};
      if (lock_ < 0) ::poll(&p, 1, -1);
    } else if (const remedy what = remedy_for(error); what == remedy::give_up) {
      log::error("accept on {}: {}; this listener is closed", on_[0].address.to_string(),
                 std::generic_category().message(error));
      break;
    } else if (error != EINTR && (what == remedy::pause || ++failures >= 16)) {
      pauses_.fetch_add(1, std::memory_order_relaxed);
      if (const auto held_back = log_limit_.pass())
        log::warning("accept on {}: {}; pausing for {} ms ({} more since the last line)",
                     on_[0].address.to_string(), std::generic_category().message(error), pause.count(),
                     *held_back);
      wait_until([] { return false; }, pause);
      pause = std::min(pause * 2, 500ms);
    }
  }
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

}  // namespace weir
