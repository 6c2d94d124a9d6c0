#pragma once
// io: deadlines by the ten thousand: a hierarchical timing wheel. Data only; timer_queue gives it a clock.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace weir::io {

// One deadline. Its owner embeds it and keeps it where it is while it is armed.
struct timer {
  timer* next = nullptr;
  timer** link = nullptr;  // what points at this timer; null while it is not armed
  std::uint64_t expiry = 0;
  void (*fire)(timer&) noexcept = nullptr;

  [[nodiscard]] bool armed() const noexcept { return link != nullptr; }
};

// Problem: most deadlines are moved or dropped and never fire, so arming and disarming must cost a few
// stores. Six levels of 64 slots; level n holds what expires within 64^(n+1) ticks, and a slot of level n is
// dealt out to the levels below when time reaches it. Arm and disarm are O(1); an occupancy word for each
// level finds the next expiry without looking at empty slots.
// Source: G. Varghese, A. Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987, scheme 7.
// Thread: one.
class timer_wheel {
 public:
  explicit timer_wheel(std::uint64_t now) noexcept : now_(now) {}
  timer_wheel(const timer_wheel&) = delete;
  timer_wheel& operator=(const timer_wheel&) = delete;

  // Fires `t` when time reaches `expiry` ticks; an expiry in the past fires at the next advance.
  // An armed timer is moved.
  void arm(timer& t, std::uint64_t expiry) noexcept;
  void disarm(timer& t) noexcept;

  // Moves time on, and fires in order of ticks what has expired. Timers may arm and disarm meanwhile.
  void advance(std::uint64_t now) noexcept;

  // A tick not later than the next expiry, at which to advance; nothing if no timer is armed.
  [[nodiscard]] std::optional<std::uint64_t> next() const noexcept;

  [[nodiscard]] std::uint64_t now() const noexcept { return now_; }

  // Timers that are armed.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  static constexpr unsigned bits = 6;
  static constexpr unsigned slots = 1U << bits;
  static constexpr unsigned levels = 6;

  void put(timer& t) noexcept;

  std::uint64_t now_;
  std::size_t size_ = 0;
  std::array<std::uint64_t, levels> occupied_{};
  std::array<std::array<timer*, slots>, levels> wheel_{};
};

}  // namespace weir::io
