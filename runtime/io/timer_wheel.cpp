#include "weir/io/detail/timer_wheel.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace weir::io {

void timer_wheel::put(timer& t) noexcept {
  // The level is that of the highest bit in which expiry and now differ: below it they share a slot's span.
  const std::uint64_t longest = (std::uint64_t{1} << (bits * levels)) - 1;
  const std::uint64_t at = std::clamp(t.expiry, now_ + 1, now_ + longest);
  const std::uint64_t differ = at ^ now_;
  const unsigned level = std::min((63U - static_cast<unsigned>(std::countl_zero(differ))) / bits, levels - 1);
  const auto slot = static_cast<unsigned>(at >> (bits * level)) % slots;
  timer*& head = wheel_[level][slot];
  t.next = head;
  if (head != nullptr) head->link = &t.next;
  head = &t;
  t.link = &head;
  occupied_[level] |= std::uint64_t{1} << slot;
  ++size_;
}

void timer_wheel::arm(timer& t, std::uint64_t expiry) noexcept {
  disarm(t);
  t.expiry = expiry;
  put(t);
}

void timer_wheel::disarm(timer& t) noexcept {
  if (t.link == nullptr) return;
  *t.link = t.next;
  if (t.next != nullptr) t.next->link = t.link;
  t.next = nullptr;
  --size_;
  t.link = nullptr;  // the occupancy bit of an emptied slot is cleared when time passes it
}

std::optional<std::uint64_t> timer_wheel::next() const noexcept {
  for (unsigned level = 0; level < levels; ++level) {
    if (occupied_[level] == 0) continue;
    const unsigned shift = bits * level;
    const auto current = static_cast<unsigned>(now_ >> shift) % slots;
    // Slots come up in the order current + 1, current + 2, ...; the top level alone may wrap around.
    const std::uint64_t from_next = std::rotr(occupied_[level], static_cast<int>(current) + 1);
    const std::uint64_t steps = static_cast<unsigned>(std::countr_zero(from_next)) + 1;
    return ((now_ >> shift) + steps) << shift;
  }
  return std::nullopt;
}

void timer_wheel::advance(std::uint64_t now) noexcept {
  for (auto at = next(); at && *at <= now; at = next()) {
    now_ = *at;
    // Time enters a slot of each level whose span begins now; the lowest fires, the others are dealt out.
    for (unsigned level = levels; level-- > 0;) {
      const unsigned shift = bits * level;
      if ((now_ & ((std::uint64_t{1} << shift) - 1)) != 0) continue;
      const auto slot = static_cast<unsigned>(now_ >> shift) % slots;
      if ((occupied_[level] >> slot & 1) == 0) continue;
      occupied_[level] &= ~(std::uint64_t{1} << slot);
      timer* due = std::exchange(wheel_[level][slot], nullptr);
      if (due != nullptr) due->link = &due;
      while (due != nullptr) {
        timer& t = *due;
        disarm(t);
        if (t.expiry <= now_)
          t.fire(t);
        else
          put(t);
      }
    }
  }
  now_ = std::max(now_, now);
}

}  // namespace weir::io
