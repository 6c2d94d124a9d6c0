#pragma once
// Failures on demand, in tests only: what is in the shared file of a test, and how a program of a test maps
// it.
//
// Problem: the paths that run when the kernel or the allocator says no are the least run and the most needed.
// libweir_faults.so makes them run in any program of a build tree, unchanged and also while it serves:
// nothing in the library or in the samples knows of it, or pays for it.
//
//   LD_PRELOAD=libweir_faults.so FAULTS_CONTROL=/path/of/the/file build/release/samples/echo
//
// The file (struct control) lies in shared memory. A test writes rules into it at any time; every process
// that maps it obeys at its next call (tests/faults/faults.py). A unit test links with the same object and
// has a control of its own (faults::control::here()).
//
// How a call is reached:
// - Allocation: malloc and its kin are symbols that the object interposes; operator new calls them. Under a
//   sanitizer the allocator is the sanitizer's and these rules have no effect.
// - A new thread: pthread_create is interposed as well.
// - A system call: the library makes some of them without libc. So a seccomp filter, installed at the start
// for
//   the calls that control::trapped names, makes the kernel send SIGSYS instead, and the handler makes the
//   call itself, at the one address that the filter lets through, or answers in the kernel's place. A trapped
//   call costs some microseconds more, whether a rule is armed or not. A process that executes another
//   program ends there.
//
// Of epoll_ctl only calls about a stream socket fail: Asio does not look whether its own descriptors were
// added, and a loop of its could then not be woken.
//
// A rule fails calls `first` to `first + count - 1` of those that match since it was armed, or, with
// per_million, each with that chance, drawn from the seed and the number of the call: with one thread the
// same seed fails the same calls.
#include <atomic>
#include <cstdint>

namespace faults {

// Beside the numbers of system calls.
inline constexpr std::uint32_t allocation = 10'000;
inline constexpr std::uint32_t new_thread = 10'001;

enum class answer : std::int32_t { short_count = -1 };  // any other value is the errno

struct rule {
  std::atomic<std::uint32_t> armed;
  std::uint32_t call;    // a system call's number, allocation or new_thread
  std::int32_t process;  // 0: any
  std::int32_t error;    // an errno, or answer::short_count: the call moves a part of what it was asked to
  std::uint64_t first;   // from 1 on
  std::uint64_t count;   // 0: until it is disarmed
  std::uint32_t per_million;  // 0: first and count decide
  std::int32_t argument;      // which argument must be `value`; -1: none
  std::int64_t value;
  std::uint64_t seed;
  std::atomic<std::uint64_t> calls;  // that matched
  std::atomic<std::uint64_t> hits;   // that failed
};

inline constexpr unsigned most_rules = 62;

struct control {
  std::uint64_t version;     // of this layout
  std::uint64_t trapped[8];  // a bit for each system call that can fail; read once, at the start
  std::uint64_t traces;      // not 0: the stack of each allocation that fails is written to standard error
  std::uint64_t unused[2];
  rule rules[most_rules];

  // That of this process; null if it has none. A unit test's own is made by begin().
  [[gnu::visibility("default")]] static control* here() noexcept;
};
static_assert(sizeof(rule) == 72 && sizeof(control) == 96 + 72 * most_rules);

inline constexpr std::uint64_t layout = 1;

// For a unit test: a control of its own, and traps for the calls given; not more than once in a process.
// False if the kernel allows no filter.
[[gnu::visibility("default")]] bool begin(const std::uint32_t* calls, unsigned count) noexcept;

}  // namespace faults
