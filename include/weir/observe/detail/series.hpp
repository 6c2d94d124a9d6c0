#pragma once
// observe: the counters and histograms that programs make themselves, in memory that a pool shares.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "weir/observe/detail/log_linear.hpp"

namespace weir::observe {

// What a value is: seconds are recorded in nanoseconds.
enum class unit : std::uint8_t { none, seconds, bytes };

// A name with its labels.
struct series_name {
  enum class state : std::uint32_t { free, being_written, ready };
  std::atomic<state> now;
  unit what;
  std::array<char, 96> name;
  std::array<char, 128> labels;  // `a="b"`, or nothing
  std::array<char, 160> help;

  [[nodiscard]] bool is_ready() const noexcept { return now.load(std::memory_order_acquire) == state::ready; }
  [[nodiscard]] std::string_view get_name() const noexcept { return name.data(); }
  [[nodiscard]] std::string_view get_labels() const noexcept { return labels.data(); }
  [[nodiscard]] std::string_view get_help() const noexcept { return help.data(); }
};

// Problem: worker processes make the same counters, perhaps later than others and in another order, and what
// they have counted must outlive them. So a series is found by its name, by any process, and its value is in
// memory of the whole pool; threads are spread over several values, so that they seldom write the same.
// Lies in memory of zeroes. Thread: any process. A process that dies while it names a series leaves a place
// that is not used again.
struct series_store {
  static constexpr std::size_t most_counters = 256;
  static constexpr std::size_t most_histograms = 64;
  static constexpr std::size_t stripes = 16;
  static constexpr std::size_t none = SIZE_MAX;

  // The place of the series, which is named if it was not. `none` if there is no room.
  [[nodiscard]] std::size_t counter(std::string_view name, std::string_view labels,
                                    std::string_view help) noexcept;
  [[nodiscard]] std::size_t histogram(std::string_view name, std::string_view labels, std::string_view help,
                                      unit what) noexcept;

  void count(std::size_t place, std::uint64_t n) noexcept;
  [[nodiscard]] std::uint64_t counted(std::size_t place) const noexcept;

  // Names and values of `from` at the same places. Of a store that is empty.
  void take_over(const series_store& from) noexcept;

  std::array<series_name, most_counters> counters;
  std::array<series_name, most_histograms> histograms;
  std::array<std::array<owned_counter, most_counters>, stripes> counts;
  std::array<shared_histogram, most_histograms> measured;
};

// Where this process counts: a store of its own until a server has put one into memory that others read.
[[nodiscard]] series_store& series() noexcept;

// From now on `shared`, with all that there is, until `give_back` is called with it. False if another one is
// used already.
bool use_series(series_store& shared) noexcept;
void give_back_series(const series_store& shared) noexcept;

// Errors: std::invalid_argument if `name` cannot be one of a metric, or is one of weir's.
void check_name(std::string_view name, std::string_view wrong_end);
// `label="value"`. Errors: std::invalid_argument if that is no label, or too long.
[[nodiscard]] std::array<char, 128> label_text(std::string_view label, std::string_view value);

}  // namespace weir::observe
