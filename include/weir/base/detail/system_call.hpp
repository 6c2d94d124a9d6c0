#pragma once
// base: the system calls of the hot path, without libc's wrappers.

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "weir/base/detail/build.hpp"

// Problem: libc's recv and send are thread cancellation points and keep errno in thread-local memory, which
// a coroutine must not read on both sides of a suspension. That is 15 instructions per call, and 30 in a
// process with threads. These return the kernel's own answer: a count, or -errno.
// Sanitizers watch libc's functions, and other processors have other instructions: there libc is called.
// Thread: any. Errors: the negated errno.
namespace weir::system_call {

#if defined(__x86_64__)
inline constexpr bool direct = !build::sanitized;
// recvfrom(2) and sendto(2) look at their sixth argument, the size of an address, only if the fifth is one:
// its register stays free for the caller.
[[gnu::always_inline]] inline long invoke(long number, long a, long b, long c, long d, long e) noexcept {
  long result;
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  asm volatile("syscall"
               : "=a"(result)
               : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
               : "rcx", "r11", "memory");
  return result;
}
#else
inline constexpr bool direct = false;
inline long invoke(long, long, long, long, long, long) noexcept { return -ENOSYS; }
#endif

[[gnu::always_inline]] inline long recv(int fd, void* into, std::size_t size) noexcept {
  if constexpr (direct)
    return invoke(SYS_recvfrom, fd, reinterpret_cast<long>(into), static_cast<long>(size), 0, 0);
  const auto n = ::recv(fd, into, size, 0);
  return n < 0 ? -errno : n;
}

// Never raises SIGPIPE.
[[gnu::always_inline]] inline long send(int fd, const void* from, std::size_t size, int flags = 0) noexcept {
  if constexpr (direct)
    return invoke(SYS_sendto, fd, reinterpret_cast<long>(from), static_cast<long>(size), MSG_NOSIGNAL | flags,
                  0);
  const auto n = ::send(fd, from, size, MSG_NOSIGNAL | flags);
  return n < 0 ? -errno : n;
}

[[gnu::always_inline]] inline int epoll_wait(int set, epoll_event* into, int most,
                                             int milliseconds) noexcept {
  if constexpr (direct)
    return static_cast<int>(invoke(SYS_epoll_wait, set, reinterpret_cast<long>(into), most, milliseconds, 0));
  const int n = ::epoll_wait(set, into, most, milliseconds);
  return n < 0 ? -errno : n;
}

// Submits, and waits for `least` completions. io_uring_enter(2) looks at its sixth argument only with a
// fifth.
[[gnu::always_inline]] inline int io_uring_enter(int ring, unsigned submit, unsigned least,
                                                 unsigned flags) noexcept {
  if constexpr (direct) return static_cast<int>(invoke(SYS_io_uring_enter, ring, submit, least, flags, 0));
  const long n = ::syscall(SYS_io_uring_enter, ring, submit, least, flags, nullptr, std::size_t{0});
  return n < 0 ? -errno : static_cast<int>(n);
}

}  // namespace weir::system_call
