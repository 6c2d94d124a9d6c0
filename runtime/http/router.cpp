#include "weir/http/router.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace weir::http {

namespace {

// Methods are short: a loop costs less than a call.
bool same_method(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i]) return false;
  return true;
}

const router::route* of_method(const std::vector<router::route>& at, std::string_view method) noexcept {
  for (const router::route& r : at)
    if (r.method.empty() || same_method(r.method, method)) return &r;
  if (method != "HEAD") return nullptr;
  return of_method(at, "GET");
}

std::string methods_of(const std::vector<router::route>& at) {
  std::string out;
  for (const router::route& r : at) {
    out += (out.empty() ? "" : ", ") + r.method;
    if (r.method == "GET") out += ", HEAD";
  }
  return out;
}

// The next part of a path or pattern, without slashes, is removed from it.
std::string_view next_part(std::string_view& path) noexcept {
  path.remove_prefix(std::min<std::size_t>(1, path.size()));
  const std::string_view part = path.substr(0, path.find('/'));
  path.remove_prefix(part.size());
  return part;
}

bool is_parameter(std::string_view part) noexcept { return part.starts_with('{') && part.ends_with('}'); }

// Words before parameters before the '*' at the end.
int rank(std::string_view part, bool last) noexcept {
  if (is_parameter(part)) return 1;
  return last && part == "*" ? 2 : 0;
}

bool wins_over(std::string_view a, std::string_view b) noexcept {
  while (!a.empty() && !b.empty()) {
    const std::string_view x = next_part(a);
    const std::string_view y = next_part(b);
    if (const int of_x = rank(x, a.empty()), of_y = rank(y, b.empty()); of_x != of_y) return of_x < of_y;
  }
  return false;
}

// Calls `found` with the name and the value of each parameter.
template <class F>
bool match(std::string_view pattern, std::string_view path, F found) noexcept {
  while (!pattern.empty()) {
    const std::string_view wanted = next_part(pattern);
    if (pattern.empty() && wanted == "*") return path.starts_with('/');
    if (path.empty()) return false;
    const std::string_view part = next_part(path);
    if (!is_parameter(wanted)) {
      if (part != wanted) return false;
      continue;
    }
    if (part.empty()) return false;
    found(wanted.substr(1, wanted.size() - 2), part);
  }
  return path.empty();
}

// Errors: std::invalid_argument.
void check_parameters(std::string_view pattern) {
  std::vector<std::string_view> names;
  for (std::string_view rest = pattern; !rest.empty();) {
    const std::string_view part = next_part(rest);
    if (part.find_first_of("{}") == part.npos) continue;
    const std::string_view name = part.substr(1, part.size() - std::min<std::size_t>(2, part.size()));
    if (!is_parameter(part) || name.empty() || name.find_first_of("{}") != name.npos)
      throw std::invalid_argument(fmt::format("{}: a {{name}} is a whole part of a path", pattern));
    if (std::ranges::find(names, name) != names.end())
      throw std::invalid_argument(fmt::format("{}: {} comes twice", pattern, part));
    names.push_back(name);
  }
}

// Of the size and of up to eight bytes at each end: routes differ there, and a path that was sent costs the
// same however long it is.
std::size_t hash_of(std::string_view path) noexcept {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  const std::size_t bytes = path.size() >= 8   ? 8
                            : path.size() >= 4 ? 4
                                               : std::min<std::size_t>(path.size(), 1);
  const char* const behind = path.data() + path.size();
  if (bytes == 8) {
    std::memcpy(&first, path.data(), 8);
    std::memcpy(&last, behind - 8, 8);
  } else if (bytes == 4) {
    std::memcpy(&first, path.data(), 4);
    std::memcpy(&last, behind - 4, 4);
  } else if (bytes == 1) {
    first = static_cast<unsigned char>(path[path.size() / 2]);
    last = static_cast<unsigned char>(behind[-1]);
  }
  constexpr std::uint64_t odd = 0x9E3779B97F4A7C15U;
  return static_cast<std::size_t>((((first * odd) ^ (last + path.size())) * odd) >> 32);
}

}  // namespace

void router::add(std::string_view pattern, route r) {
  if (!pattern.starts_with('/'))
    throw std::invalid_argument("a path starts with '/': " + std::string(pattern));
  check_parameters(pattern);
  const std::size_t brace = std::min(pattern.find('{'), pattern.size());
  const bool has_parameter = brace != pattern.size();
  if (!has_parameter && !pattern.ends_with("/*")) {
    exact_at(pattern).push_back(std::move(r));
    return;
  }
  if (has_parameter) r.pattern = pattern;
  const auto same = std::ranges::find(patterns_, pattern, &pattern_routes::pattern);
  if (same != patterns_.end()) {
    same->at.push_back(std::move(r));
    return;
  }
  const std::size_t words = has_parameter ? brace : pattern.size() - 1;
  const auto loser =
      std::ranges::find_if(patterns_, [&](const pattern_routes& p) { return wins_over(pattern, p.pattern); });
  patterns_.insert(loser, {std::string(pattern), words, {}})->at.push_back(std::move(r));
}

std::optional<std::string_view> router::parameter(std::string_view pattern, std::string_view path,
                                                  std::string_view name) noexcept {
  std::optional<std::string_view> out;
  match(pattern, path, [&](std::string_view its, std::string_view value) {
    if (its == name) out = value;
  });
  return out;
}

// Where the path is in the table, or a free place for it. The table is not empty.
std::size_t router::place_of(std::string_view path) const noexcept {
  const std::size_t mask = exact_.size() - 1;
  std::size_t i = hash_of(path) & mask;
  while (!exact_[i].path.empty() && exact_[i].path != path) i = (i + 1) & mask;
  return i;
}

router::routes& router::exact_at(std::string_view path) {
  if (2 * exact_count_ >= exact_.size()) {
    std::vector<exact_routes> before(std::max<std::size_t>(8, 2 * exact_.size()));
    before.swap(exact_);
    for (exact_routes& each : before)
      if (!each.path.empty()) exact_[place_of(each.path)] = std::move(each);
  }
  exact_routes& at = exact_[place_of(path)];
  if (at.path.empty()) {
    at.path = path;
    ++exact_count_;
  }
  return at.at;
}

const router::route* router::find(std::string_view method, std::string_view path, std::string& allow) const {
  const routes* at = nullptr;
  if (!exact_.empty())
    if (const exact_routes& exact = exact_[place_of(path)]; !exact.path.empty()) at = &exact.at;
  if (at == nullptr) {
    for (const pattern_routes& p : patterns_)
      if (path.starts_with(std::string_view(p.pattern).substr(0, p.words)) &&
          match(p.pattern, path, [](std::string_view, std::string_view) {})) {
        at = &p.at;
        break;
      }
  }
  if (at == nullptr) return nullptr;
  const route* const found = of_method(*at, method);
  if (found == nullptr) allow = methods_of(*at);
  return found;
}

}  // namespace weir::http
