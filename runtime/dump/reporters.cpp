// dump: stalls, and what a slow request has waited for, in words.

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "source_lines.hpp"
#include "turn_names.hpp"
#include "weir/base/log.hpp"
#include "weir/dump/detail/recorder.hpp"

namespace weir::dump {
namespace {

using namespace std::chrono_literals;
using observe::slow_request;
using observe::turn;
using observe::turn_ring;

constexpr auto pause = 50ms;            // between looks for new reports
constexpr std::size_t most_shown = 10;  // functions of a stack
constexpr std::size_t samples_kept = 64;
constexpr std::uint64_t worth_telling = 1'000'000;  // nanoseconds of waiting

// Where a turn was while it lasted.
struct sample {
  const core* at_core = nullptr;
  std::uint64_t at = 0;  // nanoseconds_now()
  std::vector<const void*> stack;
};

std::string time_text(std::uint64_t nanoseconds) {
  return nanoseconds >= 10'000'000 ? fmt::format("{} ms", nanoseconds / 1'000'000)
                                   : fmt::format("{:.1f} ms", static_cast<double>(nanoseconds) / 1e6);
}

}  // namespace

std::function<void(const stall&)> stall_reporter() {
  struct parts {
    symbols names;
    source_lines lines;
  };
  return [all = std::shared_ptr<parts>()](const stall& s) mutable {
    if (!all) all = std::make_shared<parts>();
    std::string stack;
    std::size_t shown = 0;
    for (std::size_t i = 0; i < s.addresses.size() && shown < most_shown; ++i) {
      // What returns there was called before it.
      const auto address = reinterpret_cast<std::uintptr_t>(s.addresses[i]) - (i == 0 ? 0 : 1);
      const std::string_view mangled = all->names.at(address);
      if (mangled.empty()) continue;  // of a library
      const std::string coroutine = coroutine_name(mangled);
      const std::string line = all->lines.at(address);
      fmt::format_to(std::back_inserter(stack), "{}{}{}{}", shown++ == 0 ? "" : " < ",
                     coroutine.empty() ? demangled(mangled) : coroutine, line.empty() ? "" : " at ", line);
    }
    log::warning("core {} has been held up for {} ms by {}: {}", s.core, s.lasted.count(), s.chain_name,
                 stack.empty() ? s.stack : stack);
  };
}

struct slow_reporter::parts {
  parts(stall_detector::watched_cores all, std::chrono::milliseconds slow)
      : cores(std::move(all)),
        sampler(
            cores, std::clamp<std::chrono::milliseconds>(slow / 4, 2ms, 1s),
            [this](const stall& s) { keep(s); }, 0ms, stall_detector::looking_for::turns),
        thread([this] { report_until_stopped(); }) {}
  parts(const parts&) = delete;
  parts& operator=(const parts&) = delete;
  ~parts() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    stop.notify_one();
    thread.join();
    report_all();
  }

  // The sampler's thread.
  void keep(const stall& s) {
    const std::lock_guard lock(mutex);
    if (samples.size() == samples_kept) samples.pop_front();
    samples.push_back({s.at, observe::nanoseconds_now(), s.addresses});
  }

  void report_until_stopped() {
    std::unique_lock lock(mutex);
    while (!stop.wait_for(lock, pause, [this] { return stopping; })) {
      lock.unlock();
      report_all();
      lock.lock();
    }
  }

  void report_all() noexcept {
    try {
      for (core* const c : cores()) report_all_of(*c);
    } catch (const std::exception&) {
      log::count_lost_line();
    }
  }

  void report_all_of(core& c) {
    const turn_ring* const ring = c.driver().turns();
    if (ring == nullptr) return;
    std::uint64_t& n = reported[&c];
    const std::uint64_t written = ring->slow_written();
    if (written - n > turn_ring::slow_requests) n = written - turn_ring::slow_requests;
    while (n != written) log::warning("{}", text_of(ring->slow_ones()[n++ % turn_ring::slow_requests], c));
  }

  static std::string name_of(const core& c) {
    return fmt::format("{} {}", c.is_loop() ? "core" : "worker", c.index());
  }

  std::string text_of(const slow_request& r, const core& c) {
    if (!known) {
      all_symbols.emplace();
      known.emplace(*all_symbols, std::uintptr_t{0});
    }
    std::string out = fmt::format("{} took {}", whose("the request of ", r.of), time_text(r.took));
    if (r.waited + r.unread >= worth_telling) {
      if (r.unread < worth_telling)
        out += fmt::format(", of which up to {} waiting for {}", time_text(r.waited), name_of(c));
      else if (r.waited < worth_telling)
        out += fmt::format(", after up to {} unread, waiting for {}", time_text(r.unread), name_of(c));
      else
        out += fmt::format(", of which up to {} waiting for {}, after up to {} unread, waiting for it too",
                           time_text(r.waited), name_of(c), time_text(r.unread));
      out += fmt::format(", held {} by {}", time_text(r.longest_share), holder(r, c));
      if (const auto rest = r.waited + r.unread - std::min(r.longest_share, r.waited + r.unread);
          r.others != 0)
        out += fmt::format(" and {} by {} other{}", time_text(rest), r.others, r.others == 1 ? "" : "s");
    }
    out += fmt::format("; its own turns took {}", time_text(r.own));
    if (r.moved) out += fmt::format(" on {}, where it went on", name_of(c));
    if (!r.whole) out += "; the recorder does not reach back to its beginning";
    if (r.silent != 0) out += fmt::format(" ({} more slow requests)", r.silent);
    return out;
  }

  std::string whose(std::string_view before, const turn& t) {
    const std::string peer = turn_names::peer_of(t);
    const std::string_view name = known->handler_of(t);
    if (!t.is_of_a_chain()) return "timers and posts of the loop";
    if (peer.empty()) return name.empty() ? "a task" : fmt::format("the task {}", name);
    return name.empty() ? fmt::format("{}{}", before, peer) : fmt::format("{}{} in {}", before, peer, name);
  }

  std::string holder(const slow_request& r, const core& c) {
    std::string out = whose("the handler of ", r.longest.what);
    if (const std::string line = line_in(r.longest, c); !line.empty()) out += " at " + line;
    return out + fmt::format(" (turn of {})", time_text(r.longest.length()));
  }

  // Where the turn was when it was looked at; empty if it was not.
  std::string line_in(const observe::long_turn& t, const core& c) {
    std::vector<const void*> stack;
    {
      const std::lock_guard lock(mutex);
      for (const sample& s : samples)
        if (s.at_core == &c && s.at >= t.what.begin && s.at <= t.end) stack = s.stack;
    }
    for (std::size_t i = 0; i < stack.size(); ++i) {
      // What returns there was called before it.
      const auto address = reinterpret_cast<std::uintptr_t>(stack[i]) - (i == 0 ? 0 : 1);
      if (std::string line = lines.at(address); !line.empty()) return line;
    }
    return {};
  }

  stall_detector::watched_cores cores;
  std::map<const core*, std::uint64_t> reported;  // the thread's
  std::optional<symbols> all_symbols;             // the thread's, as the next two
  std::optional<turn_names> known;
  source_lines lines;
  std::mutex mutex;
  std::deque<sample> samples;
  std::condition_variable stop;
  bool stopping = false;
  stall_detector sampler;
  std::thread thread;
};

slow_reporter::slow_reporter(core_pool& loops, std::function<std::vector<core*>()> workers,
                             std::chrono::milliseconds slow)
    : parts_(std::make_unique<parts>(
          [&loops, more = std::move(workers)] {
            std::vector<core*> all;
            for (core& c : loops) all.push_back(&c);
            const std::vector<core*> others = more();
            all.insert(all.end(), others.begin(), others.end());
            return all;
          },
          slow)) {}

slow_reporter::~slow_reporter() = default;

}  // namespace weir::dump
