#pragma once
// core: which CPUs get a loop, and why these.

#include <cstddef>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/core/detail/cgroup_quota.hpp"
#include "weir/core/detail/cpu_set.hpp"

namespace weir {

// Every CPU of this machine, one of each physical core before their SMT siblings; within that, neighbours in
// the cache and NUMA hierarchy together.
[[nodiscard]] std::vector<int> physical_cores_first();

struct core_choice {
  std::vector<int> cpus;  // one loop on each, in this order
  std::string why;        // the reason, in one line, for --plan
};

// A pure decision. `use` is settings.cores.use:
//   "auto"   the allowed CPUs in the given order, no more than the quota rounded up, at least one
//   a list   exactly these, in this order, whatever the quota
// `most` bounds the number of loops (model single-loop: 1): auto takes fewer, a longer list is an error.
// `origin` is where `use` comes from, for errors ("--cores").
// Errors: config_error, "--cores: CPU 5 is not in this process's allowed mask 0-1".
[[nodiscard]] core_choice choose_cores(std::string_view use, const cpu_set& allowed,
                                       const std::optional<cgroup_quota>& quota, std::span<const int> order,
                                       std::size_t most = std::numeric_limits<std::size_t>::max(),
                                       std::string_view origin = "cores.use");

}  // namespace weir
