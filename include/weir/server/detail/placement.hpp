#pragma once
// server: whether the loops of a server still run where they were placed.

#include <sys/types.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "weir/core/detail/cgroup_quota.hpp"
#include "weir/core/detail/machine.hpp"
#include "weir/process/detail/scoreboard.hpp"

namespace weir {

// A loop, and the CPU that the plan has for it; none: any.
struct placed_loop {
  unsigned worker = 0;
  unsigned core = 0;
  ::pid_t process = 0;
  ::pid_t thread = 0;
  std::optional<int> planned = {};
};

using planned_cpu = std::function<std::optional<int>(unsigned worker, unsigned core)>;

// The loops that run now, in the order of workers and cores. Of any process that is seen from this one.
[[nodiscard]] std::vector<placed_loop> loops_of(process::scoreboard& board, const planned_cpu& plan);

// What the kernel says at an instant. A thread that has ended has no CPUs.
struct placement {
  std::vector<placed_loop> loops = {};
  std::vector<std::optional<cpu_set>> runs_on = {};  // of each loop
  cpu_set online = {};
  std::map<int, cpu_set> siblings = {};  // of each CPU that is planned or used
  std::map<int, cpu_time> times = {};
  std::optional<cgroup_quota> quota = {};
};

// `root` as of read_cgroup_quota(), of the control group of `process`.
[[nodiscard]] placement look_at(std::vector<placed_loop> loops, const std::string& root = "/",
                                ::pid_t process = 0);

// One way in which loops do not run as planned. Two of the same name are the same one, whatever figures their
// texts have.
struct drift {
  std::string name;
  std::string text;
};

// A pure decision. `granted`: the quota when the server started. `present`: what was found before. Of the CPU
// times from `since` on, if they are long enough, soft interrupts of a busy CPU are a drift from 25 % on,
// until they are below 15 %.
[[nodiscard]] std::vector<drift> drifts_of(const placement& now, const std::map<int, cpu_time>& since,
                                           const std::optional<cgroup_quota>& granted,
                                           const std::vector<drift>& present);

// Looks now and then, and logs each change once: a drift that is new, and one that is over. How many there
// are is at /metrics, see pool_score::placement_drifts. Thread: one at a time. It reads files of the kernel,
// for a millisecond or so: not on a loop's thread.
class placement_watch {
 public:
  placement_watch(process::scoreboard& board, planned_cpu plan, std::string root = "/");

  void check();
  [[nodiscard]] const std::vector<drift>& present() const noexcept { return present_; }

 private:
  process::scoreboard& board_;
  planned_cpu plan_;
  std::string root_;
  std::optional<cgroup_quota> granted_;
  std::map<int, cpu_time> times_;  // from which on shares are judged
  std::vector<drift> present_;
};

// For --plan --running: where each loop of a running server is, and what differs from the plan. Quota and
// soft interrupts are judged over time, which is the server's own matter.
[[nodiscard]] std::string describe_running(process::scoreboard& board, const planned_cpu& plan,
                                           const std::string& root = "/");

}  // namespace weir
