#include "weir/http/router.hpp"

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

}  // namespace

void router::add(std::string_view pattern, route r) {
  if (!pattern.starts_with('/'))
    throw std::invalid_argument("a path starts with '/': " + std::string(pattern));
  if (!pattern.ends_with("/*")) {
    exact_[std::string(pattern)].push_back(std::move(r));
    return;
  }
  pattern.remove_suffix(1);
  const auto same = std::ranges::find(prefixes_, pattern, &prefix::path);
  if (same != prefixes_.end()) {
    same->at.push_back(std::move(r));
    return;
  }
  const auto shorter =
      std::ranges::find_if(prefixes_, [&](const prefix& p) { return p.path.size() < pattern.size(); });
  prefixes_.insert(shorter, {std::string(pattern), {}})->at.push_back(std::move(r));
}

const router::route* router::find(std::string_view method, std::string_view path, std::string& allow) const {
  const routes* at = nullptr;
  if (const auto whole = exact_.find(path); whole != exact_.end()) {
    at = &whole->second;
  } else {
    for (const prefix& p : prefixes_)
      if (path.starts_with(p.path)) {
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
