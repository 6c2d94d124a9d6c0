#include "server_signals.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <utility>

#include "last_resort.hpp"
#include "weir/base/detail/build.hpp"
#include "weir/base/error.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr std::array numbers{SIGQUIT, SIGTERM, SIGINT, SIGHUP, SIGUSR1};

// What a server needs to end whose threads are not blocked: 200 ms for what is cancelled and twice as long
// for services that stop, see server_run.cpp. A sanitizer makes everything slow.
constexpr auto slowness = build::sanitized ? 5 : 1;
constexpr auto after_drain = slowness * 900ms;
constexpr auto after_cut = slowness * 450ms;

// For the signal handler.
std::array<std::atomic<bool>, numbers.size()> arrived;
std::atomic<end_order> orders{end_order::none};
std::atomic<std::chrono::milliseconds::rep> delay_time{0};
std::atomic<std::chrono::milliseconds::rep> drain_time{0};
std::atomic<std::int64_t> drains_at{0};  // milliseconds of the monotonic clock; of end_order::leave
std::atomic<int> wake{-1};

std::int64_t now_in_ms() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

// A delay that has passed is a drain by now.
end_order next(end_order now, int number) noexcept {
  if (now == end_order::leave && now_in_ms() >= drains_at.load()) now = end_order::drain;
  return next_order(now, number == SIGQUIT, {.delays = delay_time.load() != 0});
}

void limit_end(end_order before, end_order now) noexcept {
  const std::chrono::milliseconds delay(delay_time.load());
  const std::chrono::milliseconds drain(drain_time.load());
  if (now == end_order::leave && before == end_order::none)
    last_resort::end_within(delay + drain + after_drain);
  else if (now == end_order::drain && before < end_order::drain)
    last_resort::end_within(drain + after_drain);
  else if (now >= end_order::cut && before < end_order::cut)
    last_resort::end_within(after_cut);
}

void on_signal(int number) {
  const int saved = errno;
  for (std::size_t i = 0; i < numbers.size(); ++i)
    if (numbers[i] == number) arrived[i] = true;
  if (number == SIGQUIT || number == SIGTERM || number == SIGINT) {
    end_order before = orders.load();
    end_order now = next(before, number);
    if (before == end_order::none) drains_at = now_in_ms() + delay_time.load();
    while (!orders.compare_exchange_weak(before, now)) now = next(before, number);
    limit_end(before, now);
  }
  const std::uint64_t one = 1;
  static_cast<void>(::write(wake.load(), &one, sizeof one));
  errno = saved;
}

// What the signal handlers need, before they are installed.
unique_fd make_wake_up(const limit_settings& limits) {
  unique_fd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) throw_system_error(errno, "eventfd");
  for (auto& each : arrived) each = false;
  orders = end_order::none;
  delay_time = limits.drain_delay.count();
  drain_time = limits.drain_timeout.count();
  wake = fd.get();
  return fd;
}

}  // namespace

server_signals::installed::installed() {
  struct ::sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigfillset(&action.sa_mask);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    if (::sigaction(numbers[i], &action, &before_[i]) != 0) throw_system_error(errno, "sigaction");
}

server_signals::installed::~installed() {
  for (std::size_t i = 0; i < numbers.size(); ++i) ::sigaction(numbers[i], &before_[i], nullptr);
}

server_signals::server_signals(const limit_settings& limits)
    : wakes_(make_wake_up(limits)), obeyed_{SIGQUIT, SIGTERM, SIGINT, SIGHUP, SIGUSR1} {}

server_signals::~server_signals() = default;

void server_signals::set_limits(const limit_settings& limits) const noexcept {
  delay_time = limits.drain_delay.count();
  drain_time = limits.drain_timeout.count();
}

end_order server_signals::ordered() noexcept { return orders.load(); }

server_signals::reader::reader(const server_signals& of, asio::io_context& loop,
                               std::function<void(int number)> obey)
    : obey_(std::move(obey)), wakes_(loop, of.wakes_.get()) {
  wait();
}

server_signals::reader::~reader() { wakes_.release(); }

void server_signals::reader::wait() {
  wakes_.async_wait(asio::posix::stream_descriptor::wait_read, kept_in(memory_, [this](error_code ec) {
                      if (ec) return;
                      wait();  // first: what a signal asks for may fail, and the next one must be noticed
                      read();
                    }));
}

void server_signals::reader::read() {
  std::uint64_t count = 0;
  static_cast<void>(::read(wakes_.native_handle(), &count, sizeof count));
  for (std::size_t i = 0; i < numbers.size(); ++i)
    if (arrived[i].exchange(false)) obey_(numbers[i]);
}

}  // namespace weir
