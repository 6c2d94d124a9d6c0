#pragma once
// server: what would run where, told before anything runs.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "weir/config/settings.hpp"
#include "weir/connection/detail/tls_support.hpp"
#include "weir/core/detail/cgroup_quota.hpp"
#include "weir/core/detail/core_choice.hpp"
#include "weir/core/detail/cpu_set.hpp"
#include "weir/model/model.hpp"

namespace weir {

// Settings that were found valid, with the CPUs that they mean.
struct pool_plan {
  weir::settings settings;  // processes.count is a number
  std::vector<int> cpus;
  std::shared_ptr<const tls_files> tls = {};  // null: no listener has TLS, or they were not read
};

// The certificates of `s`; null if no listener has TLS. Errors: config_error; those of check_listeners.
[[nodiscard]] std::shared_ptr<const tls_files> read_tls(const settings& s);

// What is wrong with [tls] of `s`, if a listener has it.
[[nodiscard]] std::vector<tls_support::problem> check_tls(const settings& s);

// Why the addresses of `s` cannot be listened on: one of them is there twice. Errors: std::invalid_argument.
[[nodiscard]] std::optional<refusal> check_listeners(const settings& s);

// What io = "auto" means for `s` here, and why it is not the other; another value means itself.
struct io_choice {
  io_kind io;
  std::string why;
};
[[nodiscard]] io_choice choose_io(const settings& s);
// Says so, if something was to be chosen.
void log_io_choice(const settings& s);

// Why this process cannot do what `s.io` demands.
[[nodiscard]] std::optional<refusal> check_io(const settings& s);

[[nodiscard]] pool_plan plan_pool(const settings& s, const core_choice& cores);

// The CPUs of a worker's loops. Those of different workers differ as long as there are enough.
[[nodiscard]] std::vector<int> cpus_of_worker(const pool_plan& p, unsigned index);

// The CPU of one loop; nothing if loops are not pinned. Of a server of one process, too.
[[nodiscard]] std::optional<int> cpu_of_loop(const pool_plan& p, unsigned worker, unsigned loop);

// The text of --plan for settings that were found valid (model/model.hpp: check). Opens and starts nothing.
[[nodiscard]] std::string describe_plan(const settings& s, const cpu_set& allowed,
                                        const std::optional<cgroup_quota>& quota, const core_choice& cores);

// The threads of a server, in a few words: "2 loops on CPU 0-1".
[[nodiscard]] std::string describe_threads(const settings& s, const core_choice& cores);

}  // namespace weir
