#pragma once
// bench: latencies from 1 ns to an hour in fixed memory, each within 1.6 % (log-linear, as HdrHistogram).

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

class histogram {
 public:
  void record(std::uint64_t nanoseconds) noexcept {
    ++counts_[std::min(slot(nanoseconds), counts_.size() - 1)];
    ++total_;
    max_ = std::max(max_, nanoseconds);
  }

  [[nodiscard]] std::uint64_t max() const noexcept { return max_; }

  // The value below which `share` of the records lie; 0 if there are none.
  [[nodiscard]] std::uint64_t percentile(double share) const noexcept {
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(total_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > wanted) return std::min(upper_edge(i), max_);
    }
    return max_;
  }

 private:
  // Values below 128 have a slot each; above, every power of two is cut into 64.
  static constexpr std::size_t linear = 128;
  static constexpr std::size_t half = linear / 2;

  static std::size_t slot(std::uint64_t value) noexcept {
    if (value < linear) return static_cast<std::size_t>(value);
    const auto shift = static_cast<std::size_t>(std::bit_width(value)) - 7;
    return linear + (shift - 1) * half + static_cast<std::size_t>(value >> shift) - half;
  }
  static std::uint64_t upper_edge(std::size_t slot) noexcept {
    if (slot < linear) return slot;
    const std::size_t shift = (slot - linear) / half + 1;
    return ((half + (slot - linear) % half + 1) << shift) - 1;
  }

  std::array<std::uint64_t, linear + 36 * half> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
};
