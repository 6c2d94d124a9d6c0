#pragma once
// process: a child as a descriptor.

#include <sys/types.h>

#include <optional>

#include "weir/base/unique_fd.hpp"
#include "weir/process/detail/child_process.hpp"

namespace weir::process {

// Of a child that nobody has reaped. Errors: std::system_error, and then the child has been killed.
[[nodiscard]] unique_fd open_process(::pid_t child);

// Nothing while it runs; afterwards `process` is empty.
[[nodiscard]] std::optional<exit_reason> reap_process(unique_fd& process) noexcept;

}  // namespace weir::process
