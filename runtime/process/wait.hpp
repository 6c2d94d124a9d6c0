#pragma once
// process: a child as a descriptor.

#include <sys/types.h>

#include <optional>

#include "weir/base/unique_fd.hpp"
#include "weir/process/detail/child_process.hpp"

namespace weir::process {

// Of a child that has not been reaped. Errors: std::system_error, and then the child has been killed and
// reaped.
[[nodiscard]] unique_fd open_process(::pid_t child);

// Nothing while it runs; afterwards `process` is empty. Exit code -1: other code of this process has reaped
// it.
[[nodiscard]] std::optional<exit_reason> reap_process(unique_fd& process) noexcept;

}  // namespace weir::process
