#include "weir/core/detail/stall_detector.hpp"

#include <cxxabi.h>
#include <execinfo.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "weir/base/error.hpp"
#include "weir/base/log.hpp"

namespace weir {
namespace {

constexpr int probe_signal = SIGURG;  // ignored by default, so a late one does no harm

constexpr int handlers_frames = 2;  // of a stack: the signal handler, and the kernel's frame for it

// What the signal handler notes. One at a time: detectors take turns by `taken`.
struct sighting {
  std::atomic<bool> taken{false};
  std::atomic<bool> asked{false};
  std::atomic<bool> answered{false};
  std::array<char, 128> chain_name{};
  std::array<void*, 32> stack{};
  int depth = 0;
};
sighting seen_by_handler;

// On the stalled core's thread. Allocates nothing.
void note(int) {
  const int saved = errno;
  sighting& s = seen_by_handler;
  if (s.asked.exchange(false)) {
    core* const here = core::current();
    const chain* const root = here == nullptr ? nullptr : here->driver().running();
    s.chain_name[0] = '\0';
    if (root != nullptr) root->describe(s.chain_name.data(), s.chain_name.size());
    s.depth = ::backtrace(s.stack.data(), static_cast<int>(s.stack.size()));
    s.answered.store(true, std::memory_order_release);
  }
  errno = saved;
}

// "binary(symbol+0x12) [0x34]" as the function's name, or as it is.
std::string readable(const char* symbol) {
  const std::string_view text = symbol;
  const auto open = text.find('(');
  const auto plus = text.find('+', open);
  if (open == std::string_view::npos || plus == std::string_view::npos || plus == open + 1) {
    const auto slash = text.rfind('/', open);
    return std::string(text.substr(slash == std::string_view::npos ? 0 : slash + 1));
  }
  const std::string name(text.substr(open + 1, plus - open - 1));
  int status = -1;
  const std::unique_ptr<char, void (*)(void*)> plain(
      abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), std::free);
  return status == 0 ? plain.get() : name;
}

std::string stack_of(const sighting& s) {
  const std::unique_ptr<char*, void (*)(void*)> symbols(::backtrace_symbols(s.stack.data(), s.depth),
                                                        std::free);
  if (!symbols) return {};
  std::string out;
  for (int i = handlers_frames; i < std::min(s.depth, 12); ++i)
    out += (out.empty() ? "" : " < ") + readable(symbols.get()[i]);
  return out;
}

void log_stall(const stall& s) {
  log::warning("core {} has been held up for {} ms by {}: {}", s.core, s.lasted.count(), s.chain_name,
               s.stack);
}

std::vector<core*> all_of(core_pool& cores) {
  std::vector<core*> out;
  for (core& c : cores) out.push_back(&c);
  return out;
}

}  // namespace

stall_detector::stall_detector(core_pool& cores, saturated_duration limit,
                               std::function<void(const stall&)> report, saturated_duration interval)
    : stall_detector([all = all_of(cores)] { return all; }, limit, std::move(report), interval,
                     looking_for::stalls) {}

stall_detector::stall_detector(watched_cores cores, saturated_duration limit,
                               std::function<void(const stall&)> report, saturated_duration interval,
                               looking_for l)
    : cores_(std::move(cores)),
      limit_(limit),
      report_(report ? std::move(report) : log_stall),
      interval_(interval),
      looking_for_(l) {
  // The first backtrace loads a library, which a signal handler must not.
  std::array<void*, 1> unused;
  ::backtrace(unused.data(), 1);
  struct sigaction action{};
  action.sa_handler = note;
  action.sa_flags = SA_RESTART;
  if (::sigaction(probe_signal, &action, nullptr) != 0) throw_system_error(errno, "sigaction SIGURG");
  thread_ = std::thread([this] { watch(); });
}

stall_detector::~stall_detector() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  stop_.notify_one();
  thread_.join();
}

void stall_detector::watch() {
  const auto pause = std::clamp<std::chrono::nanoseconds>(limit_.value() / 4, std::chrono::milliseconds(1),
                                                          std::chrono::hours(1));
  std::unique_lock lock(mutex_);
  while (!stop_.wait_for(lock, pause, [this] { return stopping_; })) {
    try {
      const std::vector<core*> all = cores_();
      watched_.resize(std::max(watched_.size(), all.size()));
      for (std::size_t i = 0; i < all.size(); ++i) look_at(*all[i], i);
    } catch (const std::bad_alloc&) {  // next time
    }
  }
}

void stall_detector::look_at(core& c, std::size_t i) {
  watched& w = watched_[i];
  const auto now = std::chrono::steady_clock::now();
  const observe::turn_ring* const recorded = c.driver().turns();
  const std::uint64_t beat =
      looking_for_ == looking_for::turns && recorded != nullptr ? recorded->written() : c.driver().batch();
  if (beat != w.beat || c.driver().running() == nullptr) {
    w = {.beat = beat, .since = now};
    return;
  }
  if (w.reported || now - w.since < limit_.value()) return;
  const bool is_new = !std::exchange(w.counted, true);
  if (is_new) seen_.fetch_add(1, std::memory_order_relaxed);
  if (is_new && looking_for_ == looking_for::stalls)
    c.driver().counted()[observe::figure::stalls].add(1);  // which this thread alone does
  if (last_report_ && now - *last_report_ < interval_.value()) {
    w.reported = true;
    return;
  }

  sighting& s = seen_by_handler;
  if (s.taken.exchange(true)) return;
  s.answered = false;
  s.asked = true;
  if (c.interrupt(probe_signal)) {
    const auto deadline = now + std::chrono::milliseconds(100);
    while (!s.answered.load(std::memory_order_acquire) && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
  }
  s.asked = false;
  w.reported = s.answered;  // a thread that has no CPU does not answer: it is asked again
  if (s.answered && s.chain_name[0] != '\0') {
    last_report_ = now;
    report_({.core = c.index(),
             .at = &c,
             .lasted = std::chrono::duration_cast<std::chrono::milliseconds>(now - w.since),
             .chain_name = s.chain_name.data(),
             .stack = stack_of(s),
             .addresses = std::vector<const void*>(s.stack.begin() + std::min(s.depth, handlers_frames),
                                                   s.stack.begin() + s.depth)});
  }
  s.taken = false;
}

}  // namespace weir
