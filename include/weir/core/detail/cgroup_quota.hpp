#pragma once
// core: a container may allow all CPUs and yet grant the time of one and a half. More loops than that only
// take time from each other, in throttled stretches of up to 100 ms.

#include <optional>
#include <string>

namespace weir {

struct cgroup_quota {
  double cpus;       // CPU time per time: 1.5 is one and a half CPUs
  std::string file;  // where it says so
};

// The smallest quota among this process's control group and the groups around it: cpu.max in version 2,
// cpu.cfs_quota_us / cpu.cfs_period_us in version 1. Nothing if there is none. Never an error: what cannot be
// read limits nothing. `root` stands for "/": proc/self/cgroup, proc/self/mountinfo and the groups are looked
// for under it.
[[nodiscard]] std::optional<cgroup_quota> read_cgroup_quota(const std::string& root = "/");

}  // namespace weir
