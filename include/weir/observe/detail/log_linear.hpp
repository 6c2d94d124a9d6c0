#pragma once
// observe: how many values were how large, without keeping them.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "weir/base/detail/owned_counter.hpp"

namespace weir::observe {

// Problem: quantiles of durations from 1 ns to an hour need buckets whose width grows with the value.
// HdrHistogram's scheme: 16 buckets of equal width for each power of two, so a bucket is at most 1/16 of its
// lower bound wide, and its middle is at most 3.2 % from any value in it. Below 16 each value has a bucket.
// Values above `largest` count as `largest`.
struct log_linear {
  static constexpr unsigned precision_bits = 4;
  static constexpr std::size_t per_octave = std::size_t{1} << precision_bits;
  static constexpr unsigned largest_bits = 42;  // 73 minutes in nanoseconds
  static constexpr std::uint64_t largest = (std::uint64_t{1} << largest_bits) - 1;
  static constexpr std::size_t buckets = (largest_bits - precision_bits + 1) * per_octave;

  [[nodiscard]] static constexpr std::size_t bucket_of(std::uint64_t value) noexcept {
    value = std::min(value, largest);
    if (value < per_octave) return static_cast<std::size_t>(value);
    const auto octave = static_cast<unsigned>(std::bit_width(value)) - precision_bits - 1;
    return (std::size_t{octave} << precision_bits) + static_cast<std::size_t>(value >> octave);
  }
  // The smallest value of a bucket; that of the one behind the last is `largest` + 1.
  [[nodiscard]] static constexpr std::uint64_t lower_bound(std::size_t bucket) noexcept {
    if (bucket < 2 * per_octave) return bucket;
    const auto octave = bucket / per_octave - 1;
    return std::uint64_t{per_octave + bucket % per_octave} << octave;
  }
};

// The buckets and the sum of the values. Its memory may be shared between processes; zeroes are an empty one.
// Thread: record() any; what one thread alone records costs it no cache line of another.
struct shared_histogram {
  std::array<owned_counter, log_linear::buckets> counts;
  owned_counter sum;

  void record(std::uint64_t value, std::uint64_t times = 1) noexcept {
    counts[log_linear::bucket_of(value)].add_from_any(times);
    sum.add_from_any(std::min(value, log_linear::largest) * times);
  }
};

// What one or several histograms held when they were read.
class histogram_view {
 public:
  void add(const shared_histogram& h) noexcept;

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t sum() const noexcept { return sum_; }
  [[nodiscard]] const std::array<std::uint64_t, log_linear::buckets>& counts() const noexcept {
    return counts_;
  }
  // Values below `bound`, which is a power of two.
  [[nodiscard]] std::uint64_t below(std::uint64_t bound) const noexcept;
  // The value below which the share `q` of all values lies, at most 3.2 % off; 0 if there is none.
  [[nodiscard]] std::uint64_t quantile(double q) const noexcept;

 private:
  std::array<std::uint64_t, log_linear::buckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t sum_ = 0;
};

}  // namespace weir::observe
