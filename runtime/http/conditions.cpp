#include "weir/http/detail/conditions.hpp"

#include <algorithm>
#include <optional>

#include "weir/http/detail/date.hpp"
#include "weir/http/field_text.hpp"

namespace weir::http {

namespace {

enum class comparison : std::uint8_t { strong, weak };

bool names_etag(std::string_view list, std::string_view etag, comparison how) noexcept {
  if (trimmed(list) == "*") return true;
  for (std::string_view each; !(each = next_element(list)).empty();) {
    if (how == comparison::weak && each.starts_with("W/")) each.remove_prefix(2);
    if (each == etag) return true;
  }
  return false;
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

}  // namespace

condition condition_of(const request& r, const validators& now) noexcept {
  if (const auto list = r.find("if-match")) {
    if (!names_etag(*list, now.etag, comparison::strong)) return condition::failed;
  } else if (!is_as_of(r.find("if-unmodified-since"), now).value_or(true)) {
    return condition::failed;
  }
  const auto list = r.find("if-none-match");
  const bool has_it = list ? names_etag(*list, now.etag, comparison::weak)
                           : is_as_of(r.find("if-modified-since"), now).value_or(false);
  return has_it ? condition::not_modified : condition::answer;
}

byte_range range_of(const request& r, const validators& now, std::uint64_t size) noexcept {
  const byte_range whole{range_kind::whole, 0, size};
  const auto text = r.find("range");
  if (!text || text->size() < 6 || !same_name(text->substr(0, 6), "bytes=") || !is_of_this_version(r, now))
    return whole;
  const std::string_view wanted = trimmed(text->substr(6));
  const std::size_t dash = wanted.find('-');
  if (dash == wanted.npos) return whole;
  const auto first = decimal(wanted.substr(0, dash));
  const auto last = decimal(wanted.substr(dash + 1));
  const bool is_suffix = dash == 0;
  const bool is_open = dash + 1 == wanted.size();
  if ((!first && !is_suffix) || (!last && !is_open) || (is_suffix && is_open)) return whole;
  if (is_suffix) {
    const std::uint64_t count = std::min(*last, size);
    if (count == 0) return {range_kind::unsatisfiable, 0, 0};
    return {range_kind::part, size - count, count};
  }
  if (last && *last < *first) return whole;
  if (*first >= size) return {range_kind::unsatisfiable, 0, 0};
  const std::uint64_t end = last ? std::min(*last, size - 1) : size - 1;
  return {range_kind::part, *first, end - *first + 1};
}

bool accepts_gzip(const request& r) noexcept {
  const auto found = r.find("accept-encoding");
  if (!found) return false;
  std::string_view list = *found;
  for (std::string_view each; !(each = next_element(list)).empty();) {
    const std::size_t semicolon = each.find(';');
    if (!same_name(trimmed(each.substr(0, semicolon)), "gzip")) continue;
    if (semicolon == each.npos) return true;
    // "q=0", "q=0.0" and the like refuse it.
    const std::string_view weight = trimmed(each.substr(semicolon + 1));
    return weight.substr(0, 2) != "q=" || weight.substr(2).find_first_not_of("0.") != weight.npos;
  }
  return false;
}

}  // namespace weir::http
