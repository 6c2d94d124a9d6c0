#pragma once
// admin: metrics in the text forms that Prometheus reads.

#include <fmt/format.h>

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "weir/observe/detail/log_linear.hpp"

namespace weir::admin {

// The labels of a sample, without an allocation unless they are long.
class label_text {
 public:
  template <class... Args>
  explicit label_text(fmt::format_string<Args...> form, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), form, std::forward<Args>(args)...);
  }
  operator std::string_view() const noexcept { return {text_.data(), text_.size()}; }

 private:
  fmt::basic_memory_buffer<char, 160> text_;
};

// Writes families of metrics, each whole before the next.
class exposition {
 public:
  // Prometheus' text format 0.0.4, or OpenMetrics 1.0.
  enum class dialect : std::uint8_t { text, openmetrics };
  enum class kind : std::uint8_t { counter, gauge, histogram, info };

  explicit exposition(dialect d) noexcept : dialect_(d) {}

  // `name`: without _total, _info. `unit`: "seconds", "bytes" or nothing, which the name ends with.
  void family(std::string_view name, kind what, std::string_view unit, std::string_view help);

  // `labels`: `a="b",c="d"`, or nothing.
  void sample(std::string_view labels, std::uint64_t value);
  void sample(std::string_view labels, double value);
  // `scale`: what a value is multiplied by. Bounds are powers of 2, so the counts are exact.
  void sample(std::string_view labels, const observe::histogram_view& h, double scale);

  // The whole text. Once.
  [[nodiscard]] std::string take() &&;

  // A text of one line: without control characters, backslashes doubled.
  [[nodiscard]] static std::string escaped_help(std::string_view text);

 private:
  template <class... Args>
  void line(std::string_view suffix, std::string_view labels, fmt::format_string<Args...> value,
            Args&&... args);

  dialect dialect_;
  kind kind_ = kind::gauge;
  std::string name_;
  std::string out_;
};

}  // namespace weir::admin
