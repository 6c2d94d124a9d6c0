#pragma once
// core: what the kernel says of its CPUs, and where it lets a thread run.

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "weir/core/detail/cpu_set.hpp"

namespace weir {

// Ticks of one CPU since the machine has started.
struct cpu_time {
  std::uint64_t all = 0;
  std::uint64_t idle = 0;
  std::uint64_t softirq = 0;  // the kernel's work for sockets, timers and disks
};

// The files of the kernel that these read lie below `root`. What cannot be read is empty.
[[nodiscard]] cpu_set online_cpus(const std::string& root = "/");
// The CPUs of the same physical core, `cpu` among them.
[[nodiscard]] cpu_set smt_siblings(int cpu, const std::string& root = "/");
// By CPU number.
[[nodiscard]] std::map<int, cpu_time> cpu_times(const std::string& root = "/");
// The CPUs on which a thread of a process may run; nothing if there is no such thread.
[[nodiscard]] std::optional<cpu_set> cpus_of_thread(::pid_t process, ::pid_t thread,
                                                    const std::string& root = "/");

}  // namespace weir
