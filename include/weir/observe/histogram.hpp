#pragma once
// observe: a histogram of a program's own.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "weir/observe/detail/series.hpp"

namespace weir {

// How large values are, exported at /metrics:
//
//   weir::histogram took("shop_checkout_seconds", "Time that a checkout takes.");
//   took.record(std::chrono::steady_clock::now() - began);
//
// A name that ends with _seconds takes durations, any other takes numbers; _bytes says that they are bytes.
// Buckets are at most 1/16 of their lower bound wide; numbers from 2^42 on, and durations from 73 minutes on,
// count as these.
// Thread, lifetime and errors: as of counter; at most 64 histograms and labels of histograms.
class histogram {
 public:
  histogram(std::string_view name, std::string_view help);
  histogram(std::string_view name, std::string_view help, std::string_view label, std::string_view value);

  // A negative one counts as 0.
  void record(std::chrono::nanoseconds d) const noexcept {
    record(d.count() > 0 ? static_cast<std::uint64_t>(d.count()) : 0);
  }
  void record(std::uint64_t value) const noexcept;
  // Of all processes. A duration in nanoseconds, at most 3.2 % off.
  [[nodiscard]] std::uint64_t quantile(double q) const noexcept;
  [[nodiscard]] std::uint64_t count() const noexcept;

 private:
  [[nodiscard]] observe::histogram_view look() const noexcept;

  std::size_t place_;
};

}  // namespace weir
