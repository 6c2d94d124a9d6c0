#include "weir/admin/detail/exposition.hpp"

#include <array>
#include <iterator>
#include <utility>

namespace weir::admin {
namespace {

constexpr std::array<std::string_view, 4> names_of_kinds{"counter", "gauge", "histogram", "info"};

constexpr unsigned first_bound_bits = 10;  // 1 microsecond, 1 KiB
constexpr unsigned bits_per_bound = 2;
constexpr unsigned last_bound_bits = 36;  // 69 seconds, 64 GiB

}  // namespace

void exposition::family(std::string_view name, kind what, std::string_view unit, std::string_view help) {
  kind_ = what;
  name_ = name;
  std::string_view type = names_of_kinds[static_cast<std::size_t>(what)];
  std::string described = name_;
  if (dialect_ == dialect::text) {
    if (what == kind::counter) described += "_total";
    if (what == kind::info) described += "_info";
    if (what == kind::info) type = "gauge";
  }
  fmt::format_to(std::back_inserter(out_), "# HELP {} {}\n# TYPE {} {}\n", described, help, described, type);
  if (dialect_ == dialect::openmetrics && !unit.empty())
    fmt::format_to(std::back_inserter(out_), "# UNIT {} {}\n", described, unit);
}

template <class... Args>
void exposition::line(std::string_view suffix, std::string_view labels, fmt::format_string<Args...> value,
                      Args&&... args) {
  out_ += name_;
  out_ += suffix;
  if (!labels.empty()) {
    out_ += '{';
    out_ += labels;
    out_ += '}';
  }
  out_ += ' ';
  fmt::format_to(std::back_inserter(out_), value, std::forward<Args>(args)...);
  out_ += '\n';
}

void exposition::sample(std::string_view labels, std::uint64_t value) {
  line(kind_ == kind::counter ? "_total" : kind_ == kind::info ? "_info" : "", labels, "{}", value);
}

void exposition::sample(std::string_view labels, double value) {
  line(kind_ == kind::counter ? "_total" : "", labels, "{}", value);
}

void exposition::sample(std::string_view labels, const observe::histogram_view& h, double scale) {
  const std::string_view comma = labels.empty() ? "" : ",";
  for (unsigned bits = first_bound_bits; bits <= last_bound_bits; bits += bits_per_bound) {
    const std::uint64_t bound = std::uint64_t{1} << bits;
    line("_bucket", label_text("{}{}le=\"{}\"", labels, comma, static_cast<double>(bound) * scale), "{}",
         h.below(bound));
  }
  line("_bucket", label_text("{}{}le=\"+Inf\"", labels, comma), "{}", h.count());
  line("_count", labels, "{}", h.count());
  line("_sum", labels, "{}", static_cast<double>(h.sum()) * scale);
}

std::string exposition::take() && {
  if (dialect_ == dialect::openmetrics) out_ += "# EOF\n";
  return std::move(out_);
}

std::string exposition::escaped_help(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out;
}

}  // namespace weir::admin
