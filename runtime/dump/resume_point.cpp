#include "resume_point.hpp"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace weir::dump {
namespace {

constexpr std::size_t stack_size = 65536;
constexpr std::size_t memory_size = stack_size + resume_point::most_of_frame;

// Whether the child has stopped; false if it is gone.
bool has_stopped(::pid_t child) noexcept {
  int status = 0;
  while (::waitpid(child, &status, __WALL) < 0)
    if (errno != EINTR) return false;
  return WIFSTOPPED(status);
}

}  // namespace

resume_point::resume_point() {
  void* const at = ::mmap(nullptr, memory_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return;
  memory_ = static_cast<std::byte*>(at);
  const ::pid_t parent = ::getpid();
  const ::pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == parent && ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0) ::raise(SIGSTOP);
    ::_exit(0);
  }
  child_ = child > 0 ? child : 0;
  if (child_ != 0 && !has_stopped(child_)) child_ = 0;
}

resume_point::~resume_point() {
  end();
  if (memory_ != nullptr) ::munmap(memory_, memory_size);
}

void resume_point::end() noexcept {
  if (child_ == 0) return;
  ::kill(child_, SIGKILL);
  while (has_stopped(child_)) continue;
  child_ = 0;
}

void resume_point::follow(std::uintptr_t function, std::span<const std::byte> frame,
                          const std::function<bool(std::uintptr_t)>& goes_on) {
  if (child_ == 0) return;
  std::memset(memory_, 0, memory_size);
  std::byte* const copy = memory_ + stack_size;
  std::memcpy(copy, frame.data(), std::min(frame.size(), most_of_frame));
  ::user_regs_struct registers{};
  if (::ptrace(PTRACE_GETREGS, child_, nullptr, &registers) != 0) return end();
  registers.rip = function;
  registers.rdi = reinterpret_cast<std::uintptr_t>(copy);
  registers.rsp = reinterpret_cast<std::uintptr_t>(copy) - 4096 - 8;  // as after a call, which returns to 0
  registers.orig_rax = ~0ULL;                                         // no system call is to be repeated
  if (::ptrace(PTRACE_SETREGS, child_, nullptr, &registers) != 0) return end();
  for (int i = 0; i < most_steps && goes_on(registers.rip); ++i)
    if (::ptrace(PTRACE_SINGLESTEP, child_, nullptr, nullptr) != 0 || !has_stopped(child_) ||
        ::ptrace(PTRACE_GETREGS, child_, nullptr, &registers) != 0)
      return end();
}

}  // namespace weir::dump
