#include "weir/observe/detail/turn_ring.hpp"

#include <utility>

namespace weir::observe {
namespace {

constexpr std::uint64_t asleep_after = 50'000;          // a wait that took less may have found what was there
constexpr std::uint64_t between_reports = 100'000'000;  // looking back takes some 20 us
constexpr std::uint64_t reports_at_once = 16;
constexpr std::size_t fewest = 64;

// Hazard: a loop that finds at once what has come, and is preempted in the system call, seems to have slept.
bool slept(const turn& t, std::uint64_t end) noexcept {
  return t.chain == turn::waits && end - t.begin >= asleep_after;
}

}  // namespace

turn_ring::turn_ring(std::size_t bytes, std::uint64_t slow, chains c)
    : turns_(std::make_unique<turn[]>(std::max(bytes / sizeof(turn), fewest))),
      size_(std::max(bytes / sizeof(turn), fewest)),
      slow_(slow),
      chains_(c) {
  const std::uint64_t now = nanoseconds_now();
  turns_[0].begin = ready_from_ = woke_at_ = now;
  written_ = 1;
}

void turn_ring::woke(const turn& wait, std::uint64_t now) noexcept {
  ready_from_ = slept(wait, now) ? now : woke_at_;
  woke_at_ = now;
}

[[gnu::cold]] void turn_ring::keep_long(const turn& t, std::uint64_t end) noexcept {
  long_[long_written_++ % long_turns] = {t, end};
}

[[gnu::cold]] void turn_ring::look_back(std::uint64_t took) noexcept {
  const std::uint64_t now = nanoseconds_now();
  if (now + reports_at_once * between_reports < next_report_) {
    ++silent_;
    return;
  }
  slow_request r = account(now - std::min(took, now), now);
  if (took + r.unread < slow_) return;
  next_report_ = std::max(next_report_, now) + between_reports;
  r.took = took;
  r.silent = std::exchange(silent_, 0);
  const std::uint64_t n = slow_written_.load(std::memory_order_relaxed);
  slow_requests_[n % slow_requests] = r;
  slow_written_.store(n + 1, std::memory_order_release);
}

// What chains other than that of turn `n` had of the time from `since` until it began.
struct turn_ring::others {
  std::uint64_t time = 0;
  std::uint64_t turns = 0;
  long_turn longest;
  std::uint64_t share = 0;  // of the longest

  void add(const turn& t, std::uint64_t end, std::uint64_t from) noexcept {
    const std::uint64_t length = end - std::max(t.begin, std::min(from, end));
    time += length;
    turns += t.is_of_a_chain() ? 1 : 0;
    if (length <= share) return;
    share = length;
    longest = {t, end};
  }
  void add(const others& more) noexcept {
    time += more.time;
    turns += more.turns;
    if (more.share <= share) return;
    share = more.share;
    longest = more.longest;
  }
};

turn_ring::others turn_ring::before(std::uint64_t n, std::uint64_t since,
                                    std::uint64_t oldest) const noexcept {
  const std::uintptr_t chain = turns_[n % size_].chain;
  others out;
  for (; n > oldest && turns_[n % size_].begin > since; --n) {
    const turn& t = turns_[(n - 1) % size_];
    if (t.chain != chain && t.is_of_a_chain()) out.add(t, turns_[n % size_].begin, since);
  }
  return out;
}

// A chain that is ready has its turn before the wait after the next one ends: see ready_from_. So between two
// turns of the request's chain, what others had in that time is what it may have waited for. Of one that
// another thread has left here it is known since when it was ready.
slow_request turn_ring::account(std::uint64_t from, std::uint64_t now) const noexcept {
  const std::uint64_t chain = turns_[at_].chain;
  const std::uint64_t last = written_.load(std::memory_order_relaxed) - 1;
  const std::uint64_t oldest = last < size_ ? 0 : last - size_ + 1;
  const auto at = [&](std::uint64_t n) -> const turn& { return turns_[n % size_]; };

  // The turn in which the request began, or the first one here; and two waits before it.
  std::uint64_t first = last;
  std::uint64_t reached = last;
  for (; reached > oldest && at(reached).begin > from; --reached)
    if (at(reached - 1).chain == chain) first = reached - 1;
  if (chains_ == chains::stay)
    for (first = reached; first > oldest && at(first).chain != chain;) --first;
  std::uint64_t start = first;
  for (int waits = 0; start > oldest && waits < 2; --start) waits += at(start - 1).is_between_batches();

  slow_request out;
  out.of = at(last);
  out.ended = now;
  out.whole = at(chains_ == chains::stay ? first : reached).begin <= from;
  out.moved = chains_ == chains::move && at(first).begin > from;
  // What others have done since the chain may have been ready: in the batch of events before the present one,
  // and in the present one.
  others earlier;
  others present;
  for (std::uint64_t n = start; n <= last; ++n) {
    const turn& t = at(n);
    const std::uint64_t end = n == last ? now : at(n + 1).begin;
    if (t.is_between_batches()) {
      earlier = slept(t, end) ? others() : present;
      present = {};
    } else if (t.chain != chain) {
      present.add(t, end, 0);
    } else {
      earlier.add(present);
      if (n > oldest && at(n - 1).chain == turn::handed_over) earlier = before(n, at(n - 1).peer[0], oldest);
      (t.begin > from ? out.waited : out.unread) += earlier.time;
      if (n >= first) out.own += end - std::max(t.begin, std::min(from, end));
      out.others += earlier.turns;
      if (earlier.share > out.longest_share) {
        out.longest = earlier.longest;
        out.longest_share = earlier.share;
      }
      earlier = present = {};
    }
  }
  if (out.longest.what.is_of_a_chain()) --out.others;
  return out;
}

}  // namespace weir::observe
