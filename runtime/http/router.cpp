#include "weir/http/router.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

namespace weir::http {

namespace {

const router::route* of_method(const std::vector<router::route>& at, std::string_view method) noexcept {
  for (const router::route& r : at)
    if (r.method.empty() || r.method == method) return &r;
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

template <class Exact>
auto first_not_before(Exact& all, std::string_view path) noexcept {
  return std::ranges::lower_bound(
      all, path,
      [](std::string_view a, std::string_view b) {
        return a.size() != b.size() ? a.size() < b.size() : a < b;
      },
      [](const auto& each) { return std::string_view(each.path); });
}

}  // namespace

void router::add(std::string_view pattern, route r) {
  if (!pattern.starts_with('/'))
    throw std::invalid_argument("a path starts with '/': " + std::string(pattern));
  check_parameters(pattern);
  const std::size_t brace = std::min(pattern.find('{'), pattern.size());
  const bool has_parameter = brace != pattern.size();
  if (!has_parameter && !pattern.ends_with("/*")) {
    auto at = first_not_before(exact_, pattern);
    if (at == exact_.end() || at->path != pattern) at = exact_.insert(at, {std::string(pattern), {}});
    at->at.push_back(std::move(r));
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

const router::routes* router::find_exact(std::string_view path) const noexcept {
  const auto at = first_not_before(exact_, path);
  return at != exact_.end() && at->path == path ? &at->at : nullptr;
}

const router::route* router::find(std::string_view method, std::string_view path, std::string& allow) const {
  const routes* at = find_exact(path);
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
