#pragma once
// process: children that this process did not start: the kernel gives orphans to process 1, and to a
// subreaper.

#include <sys/types.h>

#include <functional>

namespace weir::process {

// This process is the first one of a container, or a subreaper (PR_SET_CHILD_SUBREAPER): it becomes the
// parent of processes whose own parents have ended, and has to reap them, or each stays a zombie.
[[nodiscard]] bool adopts_orphans() noexcept;

// Reaps ended children but not those for which `is_own` holds. True if one of these stands in front of
// others: to be called again when it has been reaped. Thread: any. Only for a process in which no other code
// has children.
bool reap_foreign_children(const std::function<bool(::pid_t)>& is_own) noexcept;

// Runs `serve`; its result is the exit code. A process cannot tell an orphan from a child that its own code
// is about to wait for. So where orphans are adopted, `serve` runs in a child, whose children are its own,
// and this process, which runs no other code, reaps all that come to it and passes signals on. The kernel
// kills the child with this process. If this process has several threads, which a fork would lose, `serve`
// runs here and a warning says that orphans are not reaped. Thread: the main one.
[[nodiscard]] int serve_below_a_reaper(const std::function<int()>& serve);

}  // namespace weir::process
