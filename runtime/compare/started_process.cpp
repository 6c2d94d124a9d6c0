#include "weir/compare/detail/started_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "weir/base/error.hpp"

namespace weir::compare {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

double microseconds(const ::timeval& t) {
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
}

// In the child of a fork: bound to the CPUs, and what it says goes to `output`.
[[nodiscard]] bool prepare_child(const std::vector<int>& cpus, int output, ::pid_t parent) {
  ::cpu_set_t on;
  CPU_ZERO(&on);
  for (const int cpu : cpus) CPU_SET(static_cast<unsigned>(cpu), &on);
  // It must not outlive the comparison.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // A service manager that has started this program is not told of it.
  for (const char* const name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID"})
    ::unsetenv(name);
  const int nothing = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  return ::getppid() == parent && ::sched_setaffinity(0, sizeof on, &on) == 0 && ::dup2(nothing, 0) == 0 &&
         ::dup2(output, 1) == 1 && ::dup2(output, 2) == 2;
}

}  // namespace

bool started_process::begin(const std::vector<int>& cpus) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw_system_error(errno, "pipe2");
  from_ = unique_fd(ends[0]);
  const unique_fd to(ends[1]);
  const ::pid_t self = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw_system_error(errno, "fork");
  if (pid_ != 0) return false;
  if (!prepare_child(cpus, to.get(), self)) ::_exit(126);
  return true;
}

started_process::started_process(const std::string& program, const std::vector<std::string>& arguments,
                                 const std::vector<int>& cpus) {
  std::vector<std::string> kept = arguments;
  std::vector<char*> words;
  for (std::string& each : kept) words.push_back(each.data());
  words.push_back(nullptr);
  if (!begin(cpus)) return;
  ::execv(program.c_str(), words.data());
  ::_exit(127);
}

started_process::started_process(const std::function<int()>& work, const std::vector<int>& cpus) {
  if (!begin(cpus)) return;
  int code = 1;
  try {
    code = work();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
  }
  std::fflush(stdout);
  ::_exit(code);
}

started_process::~started_process() {
  if (waited_ || pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

bool started_process::read_until(std::string_view part, std::chrono::milliseconds most) {
  const auto until = clock::now() + most;
  while (part.empty() || output_.find(part) == std::string::npos) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - clock::now());
    ::pollfd ready{from_.get(), POLLIN, 0};
    if (left <= 0ms || ::poll(&ready, 1, static_cast<int>(left.count())) == 0) return false;
    std::array<char, 4096> buffer{};
    const ssize_t n = ::read(from_.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return part.empty();
    output_.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return true;
}

bool started_process::read_all(std::chrono::milliseconds most) { return read_until({}, most); }

void started_process::signal(int number) const noexcept {
  if (!waited_) ::kill(pid_, number);
}

int started_process::wait(std::chrono::milliseconds most) {
  const auto until = clock::now() + most;
  int status = 0;
  ::rusage spent{};
  for (bool killed = false;;) {
    const ::pid_t ended = ::wait4(pid_, &status, WNOHANG, &spent);
    if (ended == pid_) break;
    if (ended < 0 && errno != EINTR) throw_system_error(errno, "wait4");
    if (clock::now() > until && !std::exchange(killed, true)) ::kill(pid_, SIGKILL);
    static_cast<void>(read_all(1ms));  // what it still says must not block it
    std::this_thread::sleep_for(1ms);
  }
  waited_ = true;
  used_ = {microseconds(spent.ru_utime) + microseconds(spent.ru_stime),
           static_cast<double>(spent.ru_nvcsw + spent.ru_nivcsw)};
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

footprint footprint_of(::pid_t pid) {
  footprint out;
  const std::string folder = fmt::format("/proc/{}", pid);
  std::error_code gone;
  for (std::filesystem::directory_iterator at(folder + "/task", gone), end; !gone && at != end;
       at.increment(gone)) {
    ++out.threads;
    std::ifstream children(at->path() / "children");
    for (::pid_t child = 0; children >> child;) {
      const footprint below = footprint_of(child);
      out.threads += below.threads;
      out.bytes += below.bytes;
      out.ticks += below.ticks;
    }
  }
  // Behind the name, which may hold anything: 11 fields, and then user and system time.
  std::ifstream facts(folder + "/stat");
  std::string text;
  std::getline(facts, text);
  std::istringstream fields(text.substr(std::min(text.rfind(')'), text.size() - 1) + 1));
  for (int i = 0; i < 11; ++i) fields >> text;
  std::uint64_t user = 0;
  std::uint64_t system = 0;
  if (fields >> user >> system) out.ticks += user + system;
  std::ifstream memory(folder + "/smaps_rollup");
  for (std::string line; std::getline(memory, line);)
    if (line.starts_with("Pss:")) out.bytes += std::stoull(line.substr(4)) * 1024;
  return out;
}

// A socket that waits to be accepted belongs to no process yet, and so has no inode.
std::uint64_t waiting_clients(std::uint16_t port) {
  std::uint64_t out = 0;
  std::ifstream table("/proc/net/tcp");
  std::string line;
  std::getline(table, line);
  const std::string suffix = fmt::format(":{:04X}", port);
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, skipped, inode;
    fields >> slot >> local >> remote >> state;
    for (int i = 0; i < 5; ++i) fields >> skipped;
    fields >> inode;
    if (local.ends_with(suffix) && state == "01" && inode == "0") ++out;
  }
  return out;
}

}  // namespace weir::compare
