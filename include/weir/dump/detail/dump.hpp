#pragma once
// dump: what the coroutines of a running process wait for, read from outside.

#include <sys/types.h>

#include <string>

namespace weir::dump {

// Problem: a server that hangs cannot be asked why. This reads the memory of a process, and of those below it
// that run the same program, by process_vm_readv(2): the target is neither asked nor stopped nor changed, so
// one that spins, that is stopped or whose parent is gone can be read too. This program and the target must
// be of one build, whose layouts this program knows. What the target changes meanwhile may be missing from
// the text, or be called changing; no pointer is followed unchecked, and all that is read has a bound. Cost:
// the target notices nothing but caches; bounded by `most_connections` for each process. Thread: any. Errors:
// std::system_error naming the process if there is none, if it may not be read (which takes the right to
// trace it), or if it is of another build: errc::invalid_argument with both build ids.
[[nodiscard]] std::string text_of(::pid_t process, bool as_json);

// The same of this process alone, from one of its threads. Without the lines of waits: they take a fork, and
// the child would hold every connection of the server.
[[nodiscard]] std::string text_of_this(bool as_json);

inline constexpr std::size_t most_connections = 200'000;

}  // namespace weir::dump
