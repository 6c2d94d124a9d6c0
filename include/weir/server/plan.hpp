#pragma once
// server: what would run where, told before anything runs.

#include <optional>
#include <string>

#include "weir/config/settings.hpp"
#include "weir/core/cgroup_quota.hpp"
#include "weir/core/core_choice.hpp"
#include "weir/core/cpu_set.hpp"

namespace weir {

// The text of --plan for settings that were found valid (model/model.hpp: check). Opens and starts nothing.
[[nodiscard]] std::string describe_plan(const settings& s, const cpu_set& allowed,
                                        const std::optional<cgroup_quota>& quota, const core_choice& cores);

// The threads of a server, in a few words: "2 loops on CPU 0-1".
[[nodiscard]] std::string describe_threads(const settings& s, const core_choice& cores);

}  // namespace weir
