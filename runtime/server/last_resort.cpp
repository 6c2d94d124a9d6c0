#include "last_resort.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/core/core.hpp"
#include "weir/core/detail/offload_pool.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr auto longest_answer = 50ms;  // of a thread that is asked

// For the signal handler.
::timer_t timer;
std::atomic<bool> has_timer{false};
std::atomic<int> code{0};
std::atomic<int> asked{0};
std::atomic<int> answered{0};
std::atomic<int> found{0};

int signal_number() noexcept { return SIGRTMIN + 2; }

template <class... Args>
void say(fmt::format_string<Args...> form, Args&&... args) noexcept {
  char line[256];
  try {
    const auto end = fmt::format_to_n(line, sizeof line - 1, form, std::forward<Args>(args)...).out;
    *end = '\n';
    log::write_in_signal_handler({line, static_cast<std::size_t>(end - line) + 1});
  } catch (...) {
    log::write_in_signal_handler("weir: a line of the log could not be formatted\n");
  }
}

// On the thread that it is about.
void report_this_thread() noexcept {
  char name[16] = "";
  ::prctl(PR_GET_NAME, name);
  core* const here = core::current();
  if (const chain* const root = here == nullptr ? nullptr : here->driver().running(); root != nullptr) {
    char what[128] = "";
    root->describe(what, sizeof what);
    say("weir: thread \"{}\" is held up by {}", name, what);
  } else if (offload_pool::runs_job_here()) {
    say("weir: thread \"{}\" is held up by a job of offload()", name);
  } else {
    return;
  }
  found.fetch_add(1);
}

// Sends the signal to every other thread of this process. opendir(3) allocates.
void ask_other_threads() noexcept {
  const int folder = ::open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return;
  alignas(::dirent64) char entries[4096];
  for (;;) {
    const long size = ::syscall(SYS_getdents64, folder, entries, sizeof entries);
    if (size <= 0) break;
    for (long at = 0; at < size;) {
      const auto& entry = *reinterpret_cast<const ::dirent64*>(entries + at);
      at += entry.d_reclen;
      int thread = 0;
      const char* const end = entry.d_name + std::strlen(entry.d_name);
      if (std::from_chars(entry.d_name, end, thread).ptr != end || thread == ::gettid()) continue;
      if (::syscall(SYS_tgkill, ::getpid(), thread, signal_number()) == 0) asked.fetch_add(1);
    }
  }
  ::close(folder);
}

[[noreturn]] void leave() noexcept {
  report_this_thread();
  ask_other_threads();
  constexpr timespec moment{.tv_sec = 0, .tv_nsec = 1'000'000};
  for (auto waited = 0ms; waited < longest_answer && answered.load() < asked.load(); waited += 1ms)
    ::nanosleep(&moment, nullptr);
  if (found.load() == 0)
    say("weir: a thread holds the process up that runs none of its handlers and jobs, such as the look-up of "
        "a "
        "name");
  say("weir: the process ends without waiting any longer: exit code {}", code.load());
  ::_exit(code.load());
}

void on_signal(int, siginfo_t* info, void*) {
  const int saved = errno;
  if (info->si_code == SI_TIMER && has_timer.load()) leave();
  report_this_thread();
  answered.fetch_add(1);
  errno = saved;
}

}  // namespace

last_resort::last_resort(int exit_code) {
  code = exit_code;
  struct ::sigaction action{};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  if (::sigaction(signal_number(), &action, &before_) != 0) throw_system_error(errno, "sigaction");
  ::sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, signal_number());
  ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  ::sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = signal_number();
  event._sigev_un._tid = ::gettid();
  if (::timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
    const int error = errno;
    ::sigaction(signal_number(), &before_, nullptr);
    throw_system_error(error, "timer_create");
  }
  has_timer = true;
}

last_resort::~last_resort() {
  has_timer = false;
  ::timer_delete(timer);
  ::sigaction(signal_number(), &before_, nullptr);
}

void last_resort::end_within(std::chrono::milliseconds time) noexcept {
  if (!has_timer.load()) return;
  const auto milliseconds = std::max<std::int64_t>(time.count(), 1);
  const ::itimerspec when{
      .it_interval = {},
      .it_value = {.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1'000'000}};
  ::itimerspec left{};
  if (::timer_gettime(timer, &left) != 0) return;
  const bool runs = left.it_value.tv_sec != 0 || left.it_value.tv_nsec != 0;
  const bool sooner = left.it_value.tv_sec != when.it_value.tv_sec
                          ? left.it_value.tv_sec < when.it_value.tv_sec
                          : left.it_value.tv_nsec < when.it_value.tv_nsec;
  if (!runs || !sooner) ::timer_settime(timer, 0, &when, nullptr);
}

}  // namespace weir
