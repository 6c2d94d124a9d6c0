#include "faults.hpp"

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// Nothing here may allocate, or call a function of libc that makes a trapped call.
namespace faults {
namespace {

std::atomic<control*> mapped{nullptr};

// Makes a system call at an address of its own, which the filter lets through.
extern "C" long faults_call(long number, const long* arguments);
extern "C" const char faults_call_begins[];
extern "C" const char faults_call_ends[];
extern "C" void faults_sigreturn();
asm(R"(
.text
.balign 64
.globl faults_call, faults_call_begins, faults_call_ends, faults_sigreturn
faults_call_begins:
faults_call:
  mov %rdi, %rax
  mov %rsi, %r11
  mov (%r11), %rdi
  mov 8(%r11), %rsi
  mov 16(%r11), %rdx
  mov 24(%r11), %r10
  mov 32(%r11), %r8
  mov 40(%r11), %r9
  syscall
  ret
faults_call_ends:
faults_sigreturn:
  mov $15, %eax
  syscall
)");

std::uint64_t mixed(std::uint64_t x) noexcept {  // splitmix64
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

bool is_stream(long fd) noexcept {
  int type = 0;
  socklen_t size = sizeof type;
  const long arguments[6]{
      fd, SOL_SOCKET, SO_TYPE, reinterpret_cast<long>(&type), reinterpret_cast<long>(&size), 0};
  if (faults_call(SYS_getsockopt, arguments) != 0) return false;
  return type == SOCK_STREAM;
}

// 0, or what the call is to answer.
std::int32_t verdict(std::uint32_t call, const long* arguments) noexcept {
  control* const all = mapped.load(std::memory_order_acquire);
  if (all == nullptr) return 0;
  for (rule& r : all->rules) {
    if (r.armed.load(std::memory_order_acquire) == 0 || r.call != call) continue;
    if (call == SYS_epoll_ctl && !is_stream(arguments[2])) continue;
    if (r.argument >= 0 && static_cast<int>(arguments[r.argument]) != static_cast<int>(r.value)) continue;
    if (r.process != 0) {
      const long none[6]{};
      if (faults_call(SYS_getpid, none) != r.process) continue;
    }
    const std::uint64_t n = r.calls.fetch_add(1, std::memory_order_relaxed) + 1;
    const bool fails = r.per_million != 0 ? mixed(r.seed ^ mixed(n)) % 1'000'000 < r.per_million
                                          : n >= r.first && (r.count == 0 || n - r.first < r.count);
    if (!fails) continue;
    r.hits.fetch_add(1, std::memory_order_relaxed);
    return r.error;
  }
  return 0;
}

long part_of(long size) noexcept { return size > 1 ? size / 2 : size; }

// The call with a part of its bytes. What is no stream, or carries descriptors, moves whole.
long shortened(long number, const long* given) noexcept {
  long arguments[6];
  std::copy_n(given, 6, arguments);
  switch (number) {
    case SYS_sendfile: arguments[3] = part_of(arguments[3]); break;
    case SYS_sendto:
    case SYS_recvfrom:
      if (is_stream(arguments[0])) arguments[2] = part_of(arguments[2]);
      break;
    case SYS_read:
    case SYS_pread64: {
      struct stat what{};
      const long asked[6]{arguments[0], reinterpret_cast<long>(&what)};
      if (faults_call(SYS_fstat, asked) == 0 && S_ISREG(what.st_mode)) arguments[2] = part_of(arguments[2]);
      break;
    }
    case SYS_sendmsg: {
      auto message = *reinterpret_cast<const msghdr*>(arguments[1]);
      if (message.msg_controllen != 0 || message.msg_iovlen == 0 || !is_stream(arguments[0])) break;
      iovec first = message.msg_iov[0];
      first.iov_len = static_cast<std::size_t>(part_of(static_cast<long>(first.iov_len)));
      message.msg_iov = &first;
      message.msg_iovlen = 1;
      arguments[1] = reinterpret_cast<long>(&message);
      return faults_call(number, arguments);
    }
    default: break;
  }
  return faults_call(number, arguments);
}

void trapped_call(int, siginfo_t* what, void* context) noexcept {
  greg_t* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const long arguments[6]{registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
                          registers[REG_R10], registers[REG_R8],  registers[REG_R9]};
  const long number = what->si_syscall;
  const std::int32_t error = verdict(static_cast<std::uint32_t>(number), arguments);
  if (error == ECONNRESET || error == EPIPE) {  // what follows must find the peer gone, too
    const long both[6]{arguments[0], SHUT_RDWR};
    faults_call(SYS_shutdown, both);
  }
  if (error > 0)
    registers[REG_RAX] = -error;
  else
    registers[REG_RAX] = error < 0 ? shortened(number, arguments) : faults_call(number, arguments);
}

// What the kernel takes; libc's own sigaction would have it return through libc.
bool handle_sigsys() noexcept {
  struct {
    void (*handler)(int, siginfo_t*, void*) noexcept;
    unsigned long flags;
    void (*restorer)();
    unsigned long mask;
  } action{trapped_call, SA_SIGINFO | SA_NODEFER | 0x04000000 /* SA_RESTORER */, faults_sigreturn, 0};
  const long arguments[6]{SIGSYS, reinterpret_cast<long>(&action), 0, sizeof action.mask};
  return faults_call(SYS_rt_sigaction, arguments) == 0;
}

// Traps the calls of the control, except at the address of faults_call.
bool trap(const control& c) noexcept {
  sock_filter program[3 * 512 + 16];
  unsigned short n = 0;
  const auto add = [&](std::uint16_t code, std::uint32_t k, std::uint8_t yes = 0, std::uint8_t no = 0) {
    program[n++] = {code, yes, no, k};
  };
  const auto begins = reinterpret_cast<std::uint64_t>(faults_call_begins);
  const auto ends = reinterpret_cast<std::uint64_t>(faults_call_ends);
  if (begins >> 32 != ends >> 32) return false;
  add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch));
  add(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
  add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, instruction_pointer) + 4);
  add(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(begins >> 32), 0, 4);
  add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, instruction_pointer));
  add(BPF_JMP | BPF_JGE | BPF_K, static_cast<std::uint32_t>(begins), 0, 2);
  add(BPF_JMP | BPF_JGT | BPF_K, static_cast<std::uint32_t>(ends), 1, 0);
  add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  add(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr));
  bool any = false;
  for (std::uint32_t call = 0; call < 512; ++call) {
    if ((c.trapped[call / 64] >> call % 64 & 1) == 0) continue;
    any = true;
    add(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
    add(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
  }
  if (!any) return true;
  add(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_fprog filter{n, program};
  return handle_sigsys() && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

[[gnu::constructor]] void start() {
  const char* const path = std::getenv("FAULTS_CONTROL");
  if (path == nullptr) return;
  const int file = ::open(path, O_RDWR | O_CLOEXEC);
  void* const memory =
      file < 0 ? MAP_FAILED : ::mmap(nullptr, sizeof(control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (file >= 0) ::close(file);
  auto* const c = static_cast<control*>(memory);
  if (memory == MAP_FAILED || c->version != layout || !trap(*c)) {
    std::fprintf(stderr, "faults: %s cannot be obeyed: %s\n", path, std::strerror(errno));
    std::_Exit(70);
  }
  void* once[1];
  ::backtrace(once, 1);  // the first call loads a library
  mapped.store(c, std::memory_order_release);
}

bool allocation_fails() noexcept {
  if (verdict(allocation, nullptr) == 0) return false;
  if (mapped.load()->traces != 0) {
    void* stack[40];
    const int depth = ::backtrace(stack, 40);
    ::backtrace_symbols_fd(stack, depth, STDERR_FILENO);
    static_cast<void>(!::write(STDERR_FILENO, "\n", 1));
  }
  errno = ENOMEM;
  return true;
}

// A thread that blocked SIGSYS would be killed by a trapped call.
template <class Function>
int set_mask(Function libc, int how, const sigset_t* set, sigset_t* before) {
  if (set == nullptr || how == SIG_UNBLOCK) return libc(how, set, before);
  sigset_t without = *set;
  ::sigdelset(&without, SIGSYS);
  return libc(how, &without, before);
}

}  // namespace

control* control::here() noexcept { return mapped.load(std::memory_order_acquire); }

bool begin(const std::uint32_t* calls, unsigned count) noexcept {
  void* const memory =
      ::mmap(nullptr, sizeof(control), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  auto* const c = static_cast<control*>(memory);
  c->version = layout;
  for (unsigned i = 0; i < count; ++i) c->trapped[calls[i] / 64] |= std::uint64_t{1} << calls[i] % 64;
  if (!trap(*c)) return false;
  mapped.store(c, std::memory_order_release);
  return true;
}

}  // namespace faults

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

[[gnu::visibility("default")]] void* malloc(std::size_t size) {
  return faults::allocation_fails() ? nullptr : __libc_malloc(size);
}
[[gnu::visibility("default")]] void* calloc(std::size_t count, std::size_t size) {
  return faults::allocation_fails() ? nullptr : __libc_calloc(count, size);
}
[[gnu::visibility("default")]] void* realloc(void* block, std::size_t size) {
  return faults::allocation_fails() ? nullptr : __libc_realloc(block, size);
}
[[gnu::visibility("default")]] void* memalign(std::size_t alignment, std::size_t size) {
  return faults::allocation_fails() ? nullptr : __libc_memalign(alignment, size);
}
[[gnu::visibility("default")]] void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return memalign(alignment, size);
}
[[gnu::visibility("default")]] int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  void* const made = memalign(alignment, size);
  if (made == nullptr) return ENOMEM;
  *block = made;
  return 0;
}

[[gnu::visibility("default")]] int pthread_create(pthread_t* thread, const pthread_attr_t* how,
                                                  void* (*run)(void*), void* argument) {
  static const auto libc = reinterpret_cast<decltype(&pthread_create)>(::dlsym(RTLD_NEXT, "pthread_create"));
  if (const int error = faults::verdict(faults::new_thread, nullptr); error > 0) return error;
  return libc(thread, how, run, argument);
}
[[gnu::visibility("default")]] int pthread_sigmask(int how, const sigset_t* set, sigset_t* before) {
  static const auto libc =
      reinterpret_cast<decltype(&pthread_sigmask)>(::dlsym(RTLD_NEXT, "pthread_sigmask"));
  return faults::set_mask(libc, how, set, before);
}
[[gnu::visibility("default")]] int sigprocmask(int how, const sigset_t* set, sigset_t* before) {
  static const auto libc = reinterpret_cast<decltype(&sigprocmask)>(::dlsym(RTLD_NEXT, "sigprocmask"));
  return faults::set_mask(libc, how, set, before);
}
}
