#include "weir/core/detail/cpu_set.hpp"

#include <fmt/format.h>
#include <hwloc.h>
#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <new>
#include <stdexcept>

#include "weir/base/error.hpp"

namespace weir {
namespace {

// Above any that Linux can be built for (CONFIG_NR_CPUS): a slip of the keyboard must not cost gigabytes.
constexpr int highest_cpu = 65535;

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw std::invalid_argument(fmt::format("\"{}\": {}", text, why));
}

int cpu_in(std::string_view digits, std::string_view text) {
  int cpu = -1;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), cpu);
  if (error != std::errc() || end != digits.data() + digits.size() || cpu < 0 || cpu > highest_cpu)
    refuse(text, fmt::format("\"{}\" is no CPU number; expected a list such as 0-3,8", digits));
  return cpu;
}

struct free_bitmap {
  void operator()(hwloc_bitmap_t set) const noexcept { hwloc_bitmap_free(set); }
};
struct free_cpus {
  void operator()(cpu_set_t* set) const noexcept { CPU_FREE(set); }
};

}  // namespace

std::vector<int> parse_cpu_list(std::string_view text) {
  std::vector<int> cpus;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find(',', at), text.size());
    const auto part = text.substr(at, end - at);
    const auto dash = part.find('-');
    const int first = cpu_in(part.substr(0, dash), text);
    const int last = dash == std::string_view::npos ? first : cpu_in(part.substr(dash + 1), text);
    if (last < first) refuse(text, fmt::format("the range {} runs backwards", part));
    for (int cpu = first; cpu <= last; ++cpu) cpus.push_back(cpu);
    at = end + 1;
  }
  return cpus;
}

cpu_set::cpu_set(std::span<const int> cpus) : cpus_(cpus.begin(), cpus.end()) {
  std::sort(cpus_.begin(), cpus_.end());
  cpus_.erase(std::unique(cpus_.begin(), cpus_.end()), cpus_.end());
}

cpu_set cpu_set::parse(std::string_view text) { return cpu_set(parse_cpu_list(text)); }

bool cpu_set::contains(int cpu) const noexcept { return std::binary_search(cpus_.begin(), cpus_.end(), cpu); }

std::string cpu_set::to_string() const {
  const std::unique_ptr<hwloc_bitmap_s, free_bitmap> set(hwloc_bitmap_alloc());
  for (const int cpu : cpus_)
    if (!set || hwloc_bitmap_set(set.get(), static_cast<unsigned>(cpu)) != 0) throw std::bad_alloc();
  char* text = nullptr;
  if (hwloc_bitmap_list_asprintf(&text, set.get()) < 0) throw std::bad_alloc();
  const std::unique_ptr<char, void (*)(void*)> owned(text, std::free);
  return text;
}

cpu_set allowed_cpus() {
  // The kernel says EINVAL until the mask is as wide as its own.
  for (int width = CPU_SETSIZE; width <= highest_cpu + 1; width *= 2) {
    const std::unique_ptr<cpu_set_t, free_cpus> mask(CPU_ALLOC(width));
    const auto size = CPU_ALLOC_SIZE(width);
    if (!mask) throw std::bad_alloc();
    if (::sched_getaffinity(0, size, mask.get()) != 0) {
      if (errno == EINVAL) continue;
      break;
    }
    std::vector<int> cpus;
    for (int cpu = 0; cpu < width; ++cpu)
      if (CPU_ISSET_S(static_cast<std::size_t>(cpu), size, mask.get())) cpus.push_back(cpu);
    return cpu_set(cpus);
  }
  throw_system_error(errno, "read the allowed CPUs");
}

}  // namespace weir
