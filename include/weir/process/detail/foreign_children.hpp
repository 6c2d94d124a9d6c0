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

// For a process that runs code of its users. It cannot tell an orphan from a child that such code is about to
// wait for. So where orphans are adopted this forks: it returns in the child, whose children are its own and
// which ends as any process does, with everything after this call. The parent never returns. It reaps all
// that come to it, passes signals on, and exits as the child has exited. The kernel kills the child with it.
// If there are several threads, which a fork would lose, this returns without a fork, and a warning says that
// orphans are not reaped. Thread: the main one, before sockets are opened.
void go_below_a_reaper();

}  // namespace weir::process
