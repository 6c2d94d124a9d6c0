#include "weir/observe/detail/log_linear.hpp"

#include <cmath>

namespace weir::observe {

// The sum is read first: what is recorded meanwhile makes a mean smaller, never larger than any value.
void histogram_view::add(const shared_histogram& h) noexcept {
  sum_ += h.sum.read();
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    const std::uint64_t n = h.counts[i].read();
    counts_[i] += n;
    count_ += n;
  }
}

std::uint64_t histogram_view::below(std::uint64_t bound) const noexcept {
  std::uint64_t n = 0;
  for (std::size_t i = 0; i < counts_.size() && log_linear::lower_bound(i) < bound; ++i) n += counts_[i];
  return n;
}

std::uint64_t histogram_view::quantile(double q) const noexcept {
  if (count_ == 0) return 0;
  const auto wanted =
      std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(count_))));
  std::uint64_t n = 0;
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    n += counts_[i];
    if (n < wanted) continue;
    const auto lower = log_linear::lower_bound(i);
    return lower + (log_linear::lower_bound(i + 1) - lower) / 2;
  }
  return log_linear::largest;
}

}  // namespace weir::observe
