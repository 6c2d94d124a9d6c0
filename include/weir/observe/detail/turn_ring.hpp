#pragma once
// observe: the last turns of a loop.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <memory>

namespace weir::observe {

[[nodiscard]] inline std::uint64_t nanoseconds_now() noexcept {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

// It ends where the next one begins.
struct turn {
  // Instead of a chain: the loop waits for events, or does what belongs to no chain (timers, posts).
  static constexpr std::uintptr_t waits = 0;
  static constexpr std::uintptr_t looks = 1;  // for events, and does not sleep: something is ready already
  static constexpr std::uintptr_t of_loop = 2;
  static constexpr std::uintptr_t handed_over = 3;  // another thread has left the chain of the next turn here

  std::uint64_t begin = 0;          // nanoseconds, CLOCK_MONOTONIC
  std::uintptr_t chain = 0;         // compared alone: the chain may be gone
  const void* coroutine = nullptr;  // what the innermost one was resumed by; null: unknown
  const void* root = nullptr;       // the same of the outermost one
  // peer_address. With handed_over: the first is since when the chain has been ready.
  std::array<std::uint64_t, 3> peer{};

  [[nodiscard]] bool is_of_a_chain() const noexcept { return chain > handed_over; }
  [[nodiscard]] bool is_between_batches() const noexcept { return chain <= looks; }
};

struct long_turn {
  turn what;
  std::uint64_t end = 0;  // 0: none
  [[nodiscard]] std::uint64_t length() const noexcept { return end - what.begin; }
};

// A request that has taken too long, and what its loop did meanwhile. All times in nanoseconds.
struct slow_request {
  turn of;  // in which it ended
  std::uint64_t ended = 0;
  std::uint64_t took = 0;           // as its protocol says, from when its bytes were read
  std::uint64_t unread = 0;         // at most so long before they may have waited for the loop
  std::uint64_t own = 0;            // turns of its own
  std::uint64_t waited = 0;         // ready, while the loop was busy with others; at most
  long_turn longest;                // of the others
  std::uint64_t longest_share = 0;  // of it, in `waited`
  std::uint64_t others = 0;         // turns in `waited` beside the longest
  bool whole = true;                // the recorder reaches back to where it began
  bool moved = false;               // it began on another thread, and what it did there is not in this ring
  std::uint64_t silent = 0;         // slow requests that were not reported since the one before
};

// Problem: a client was served late, and it is known afterwards only that it was, not what held the loop. So
// the loop writes down each turn as it begins: when, of which chain, which coroutine. What a turn costs then:
// one reading of the clock and 56 bytes. The length of the ring is what it remembers; turns of a millisecond
// or more are kept longer, in a ring of their own.
// Thread: the loop's, which writes; any may read what read() and the like copy, and so may another process:
// an entry that is written meanwhile is recognised by `written`.
class turn_ring {
 public:
  static constexpr std::uint64_t long_after = 1'000'000;
  static constexpr std::size_t long_turns = 256;
  static constexpr std::size_t slow_requests = 64;

  // Whether the turns of a chain may be in several rings, because it goes on where there is a thread.
  enum class chains : std::uint8_t { stay, move };
  // `slow`: requests that take so many nanoseconds are reported; 0: none. Errors: std::bad_alloc.
  turn_ring(std::size_t bytes, std::uint64_t slow, chains c = chains::stay);
  turn_ring(const turn_ring&) = delete;
  turn_ring& operator=(const turn_ring&) = delete;

  // The present turn ends and another one begins, whose coroutine and name the caller writes.
  turn& begin(std::uintptr_t chain) noexcept {
    turn& before = turns_[at_];
    const std::uint64_t now = nanoseconds_now();
    if (before.is_between_batches()) [[unlikely]]
      woke(before, now);
    else if (now - before.begin >= long_after) [[unlikely]]
      keep_long(before, now);
    if (++at_ == size_) at_ = 0;
    turn& next = turns_[at_];
    next.begin = now;
    next.chain = chain;
    written_.store(written_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    return next;
  }

  // Before a turn of a chain that another thread has left here: since when it has been ready.
  void take_over(std::uint64_t ready_since) noexcept {
    begin(turn::handed_over).peer[0] = ready_since;
    ready_from_ = ready_since;
  }

  // A request of the present turn's chain ends.
  void request_ended(std::uint64_t took) noexcept {
    if (slow_ == 0) return;
    const turn& now = turns_[at_];
    if (took + (now.begin - ready_from_) >= slow_) [[unlikely]]
      look_back(took);
  }

  // For readers, also of another process: their addresses, and how many were written ever.
  [[nodiscard]] const turn* turns() const noexcept { return turns_.get(); }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t written() const noexcept { return written_.load(std::memory_order_acquire); }
  [[nodiscard]] const auto& long_ones() const noexcept { return long_; }
  [[nodiscard]] const auto& slow_ones() const noexcept { return slow_requests_; }
  [[nodiscard]] std::uint64_t slow_written() const noexcept {
    return slow_written_.load(std::memory_order_acquire);
  }

 private:
  void woke(const turn& wait, std::uint64_t now) noexcept;
  void keep_long(const turn& t, std::uint64_t end) noexcept;
  void look_back(std::uint64_t took) noexcept;
  struct others;
  [[nodiscard]] others before(std::uint64_t n, std::uint64_t since, std::uint64_t oldest) const noexcept;
  [[nodiscard]] slow_request account(std::uint64_t from, std::uint64_t now) const noexcept;

  std::unique_ptr<turn[]> turns_;
  std::size_t size_;
  std::size_t at_ = 0;  // the present turn
  std::uint64_t slow_;
  chains chains_;
  // What is served after a wait may have been ready since then: since the wait's end if the loop slept in it,
  // else since the end of the wait before.
  std::uint64_t ready_from_ = 0;
  std::uint64_t woke_at_ = 0;
  std::atomic<std::uint64_t> written_{0};
  std::array<long_turn, long_turns> long_{};
  std::size_t long_written_ = 0;
  std::array<slow_request, slow_requests> slow_requests_{};
  std::atomic<std::uint64_t> slow_written_{0};
  std::uint64_t next_report_ = 0;  // on average; some may come earlier
  std::uint64_t silent_ = 0;
};

}  // namespace weir::observe
