#include "weir/core/detail/core_choice.hpp"

#include <fmt/format.h>
#include <hwloc.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <stdexcept>

#include "weir/config/config_error.hpp"

namespace weir {
namespace {

struct destroy_topology {
  void operator()(hwloc_topology_t topology) const noexcept { hwloc_topology_destroy(topology); }
};
using topology = std::unique_ptr<hwloc_topology, destroy_topology>;

topology load_topology() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return nullptr;
  topology loaded(raw);
  // Discovery must not move this thread from CPU to CPU.
  hwloc_topology_set_flags(raw, HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING);
  return hwloc_topology_load(raw) == 0 ? std::move(loaded) : nullptr;
}

[[noreturn]] void refuse(std::string_view origin, std::string_view why) {
  throw config_error({fmt::format("{}: {}", origin, why)});
}

core_choice choose_automatically(const cpu_set& allowed, const std::optional<cgroup_quota>& quota,
                                 std::span<const int> order, std::size_t most) {
  core_choice out;
  const auto known = cpu_set(order);
  for (const int cpu : order)
    if (allowed.contains(cpu)) out.cpus.push_back(cpu);
  for (const int cpu : allowed)
    if (!known.contains(cpu)) out.cpus.push_back(cpu);
  out.why = fmt::format("auto: {} allowed, physical cores first", allowed.size());

  if (quota) {
    const auto granted = static_cast<std::size_t>(std::max(1.0, std::ceil(quota->cpus)));
    if (granted < out.cpus.size()) {
      out.cpus.resize(granted);
      out.why += fmt::format("; the cgroup quota of {:.2f} CPUs leaves {}", quota->cpus, granted);
    }
  }
  if (most < out.cpus.size()) {
    out.cpus.resize(most);
    out.why += fmt::format("; the model runs {}", most);
  }
  return out;
}

}  // namespace

std::vector<int> physical_cores_first() {
  const auto machine = load_topology();
  if (!machine) return {};
  std::vector<int> order;
  const int cores = hwloc_get_nbobjs_by_type(machine.get(), HWLOC_OBJ_CORE);
  // Sibling 0 of every core, then sibling 1 of every core, until no core has one more.
  for (unsigned sibling = 0;; ++sibling) {
    const auto before = order.size();
    for (int i = 0; i < cores; ++i) {
      const auto* core = hwloc_get_obj_by_type(machine.get(), HWLOC_OBJ_CORE, static_cast<unsigned>(i));
      const auto* unit =
          hwloc_get_obj_inside_cpuset_by_type(machine.get(), core->cpuset, HWLOC_OBJ_PU, sibling);
      if (unit != nullptr) order.push_back(static_cast<int>(unit->os_index));
    }
    if (order.size() == before) return order;
  }
}

core_choice choose_cores(std::string_view use, const cpu_set& allowed,
                         const std::optional<cgroup_quota>& quota, std::span<const int> order,
                         std::size_t most, std::string_view origin) {
  if (use == "auto") return choose_automatically(allowed, quota, order, most);

  core_choice out;
  try {
    out.cpus = parse_cpu_list(use);
  } catch (const std::invalid_argument& e) {
    refuse(origin, e.what());
  }
  for (std::size_t i = 0; i < out.cpus.size(); ++i) {
    const int cpu = out.cpus[i];
    if (!allowed.contains(cpu))
      refuse(origin,
             fmt::format("CPU {} is not in this process's allowed mask {}", cpu, allowed.to_string()));
    if (std::find(out.cpus.begin(), out.cpus.begin() + static_cast<std::ptrdiff_t>(i), cpu) !=
        out.cpus.begin() + static_cast<std::ptrdiff_t>(i))
      refuse(origin, fmt::format("CPU {} is listed twice", cpu));
  }
  if (out.cpus.size() > most)
    refuse(origin, fmt::format("\"{}\" names {} CPUs, but the model runs on {}", use, out.cpus.size(), most));
  out.why = fmt::format("asked for: {}", use);
  if (quota && static_cast<double>(out.cpus.size()) > std::ceil(quota->cpus))
    out.why += fmt::format("; more than the cgroup quota of {:.2f} CPUs feeds", quota->cpus);
  return out;
}

}  // namespace weir
