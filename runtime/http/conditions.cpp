#include "weir/http/detail/conditions.hpp"

#include <algorithm>
#include <optional>

#include "weir/http/detail/date.hpp"
#include "weir/http/field_text.hpp"

namespace weir::http {

namespace {

enum class comparison : std::uint8_t { strong, weak };

// Whether one of the lines of that name names the tag; nothing if there is no line.
std::optional<bool> names_etag(const request& r, std::string_view name, std::string_view etag,
                               comparison how) noexcept {
  std::optional<bool> found;
  for (std::size_t i = 0; i < r.size(); ++i) {
    if (!same_name(r[i].name, name)) continue;
    std::string_view list = r[i].value;
    if (trimmed(list) == "*") return true;
    found = found.value_or(false);
    for (std::string_view each; !(each = next_element(list)).empty();) {
      if (how == comparison::weak && each.starts_with("W/")) each.remove_prefix(2);
      if (each == etag) return true;
    }
  }
  return found;
}

// Whether the resource is unchanged since then. A malformed date is ignored.
std::optional<bool> is_as_of(std::optional<std::string_view> date_text, const validators& now) noexcept {
  const auto date = date_text ? parse_date(*date_text) : std::nullopt;
  return date ? std::optional(now.modified <= *date) : std::nullopt;
}

// If-Range: the part is wanted of this version only.
bool is_of_this_version(const request& r, const validators& now) noexcept {
  const auto wanted = r.find("if-range");
  if (!wanted) return true;
  if (wanted->starts_with('"') || wanted->starts_with("W/")) return *wanted == now.etag;
  const auto date = parse_date(*wanted);
  return date && *date == now.modified;
}

// One range of a list, "0-9", "5-" or "-5", which is removed from the list up to its comma.
struct range_text {
  std::optional<std::uint64_t> first;  // none: the last so many bytes
  std::optional<std::uint64_t> last;   // none: up to the end
};
std::optional<range_text> next_range(std::string_view& list) noexcept {
  constexpr std::uint64_t most = std::uint64_t(1) << 62;  // an offset of a file has 63 bits
  const std::size_t comma = list.find(',');
  const std::string_view text = list.substr(0, comma);
  list.remove_prefix(comma == list.npos ? list.size() : comma + 1);
  const std::size_t dash = text.find('-');
  if (dash == text.npos) return std::nullopt;
  const std::string_view before = trimmed(text.substr(0, dash));
  const std::string_view behind = trimmed(text.substr(dash + 1));
  range_text out{decimal(before), decimal(behind)};
  if (!out.first && (!before.empty() || behind.empty())) return std::nullopt;
  if (!out.last && !behind.empty()) return std::nullopt;
  if (out.first.value_or(0) > most || out.last.value_or(0) > most) return std::nullopt;
  return out;
}

// What it means of `size` bytes; empty if that does not exist.
byte_range bytes_of(const range_text& text, std::uint64_t size) noexcept {
  if (!text.first) {
    const std::uint64_t count = std::min(*text.last, size);
    return {size - count, count};
  }
  const std::uint64_t end = text.last ? std::min(*text.last + 1, size) : size;
  return {*text.first, end > *text.first ? end - *text.first : 0};
}

// "0", "0.5", "1.000".
bool is_weight(std::string_view text) noexcept {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return false;
  if (text.size() == 1) return true;
  const std::string_view digits = text.substr(2);
  return text[1] == '.' && digits.find_first_not_of(text[0] == '0' ? "0123456789" : "0") == digits.npos;
}

// Whether the parameters ";q=0.5;a=b" of a coding leave it a weight above 0.
bool is_wanted(std::string_view parameters) noexcept {
  while (!parameters.empty()) {
    parameters.remove_prefix(1);  // the semicolon
    const std::size_t next = parameters.find(';');
    const std::string_view one = trimmed(parameters.substr(0, next));
    parameters.remove_prefix(std::min(next, parameters.size()));
    if (!same_name(one.substr(0, 2), "q=")) continue;
    return is_weight(one.substr(2)) && one.substr(2).find_first_not_of("0.") != one.npos;
  }
  return true;
}

}  // namespace

condition condition_of(const request& r, const validators& now) noexcept {
  if (const auto matches = names_etag(r, "if-match", now.etag, comparison::strong)) {
    if (!*matches) return condition::failed;
  } else if (!is_as_of(r.find("if-unmodified-since"), now).value_or(true)) {
    return condition::failed;
  }
  const auto has_it = names_etag(r, "if-none-match", now.etag, comparison::weak);
  const bool current = has_it ? *has_it : is_as_of(r.find("if-modified-since"), now).value_or(false);
  return current ? condition::not_modified : condition::answer;
}

byte_ranges ranges_of(const request& r, const validators& now, std::uint64_t size) {
  const auto text = r.find("range");
  constexpr std::string_view unit = "bytes=";
  if (!text || text->size() <= unit.size() || !same_name(text->substr(0, unit.size()), unit) ||
      !is_of_this_version(r, now))
    return {};
  byte_ranges out{.kind = range_kind::unsatisfiable, .parts = {}};
  std::uint64_t together = 0;
  std::string_view list = text->substr(unit.size());
  const bool goes_on = list.ends_with(',');
  do {
    const auto next = next_range(list);
    if (!next) return {.kind = range_kind::unsatisfiable, .parts = {}};
    const byte_range part = bytes_of(*next, size);
    if (part.size == 0 && part.first == 0) return {};
    if (part.size == 0) continue;
    if (out.parts.size() == byte_ranges::most_parts) return {};
    together += part.size;
    out.kind = range_kind::parts;
    out.parts.push_back(part);
  } while (!list.empty());
  if (goes_on) return {.kind = range_kind::unsatisfiable, .parts = {}};
  if (together > size) return {};
  return out;
}

bool accepts_gzip(const request& r) noexcept {
  for (std::size_t i = 0; i < r.size(); ++i) {
    if (!same_name(r[i].name, "accept-encoding")) continue;
    std::string_view list = r[i].value;
    for (std::string_view each; !(each = next_element(list)).empty();) {
      const std::size_t semicolon = std::min(each.find(';'), each.size());
      if (same_name(trimmed(each.substr(0, semicolon)), "gzip")) return is_wanted(each.substr(semicolon));
    }
  }
  return false;
}

}  // namespace weir::http
