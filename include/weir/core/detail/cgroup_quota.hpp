#pragma once
// core: the CPU time that a control group grants. A container may allow all CPUs and grant the time of one
// and a half; more loops than that are throttled for up to 100 ms at a time.

#include <sys/types.h>

#include <optional>
#include <string>

namespace weir {

struct cgroup_quota {
  double cpus;       // CPU time per time: 1.5 is one and a half CPUs
  std::string file;  // that grants them
};

// The smallest quota among this process's control group and the groups around it: cpu.max in version 2,
// cpu.cfs_quota_us / cpu.cfs_period_us in version 1. Nothing if there is none. Errors: none; a file that
// cannot be read sets no limit. `root` replaces "/": proc/self/cgroup, proc/self/mountinfo and the groups are
// read below it. `process`: of that one instead, which sees the same mounts.
[[nodiscard]] std::optional<cgroup_quota> read_cgroup_quota(const std::string& root = "/",
                                                            ::pid_t process = 0);

}  // namespace weir
