#pragma once
// compare: another program, bound to CPUs, with its output.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/unique_fd.hpp"

namespace weir::compare {

// What a process and those that it has waited for have used.
struct usage {
  double cpu_us = 0;
  double switches = 0;
};

// Ended with SIGKILL unless its end was waited for. Thread: one. Errors: std::system_error.
class started_process {
 public:
  // Both standard output and standard error come to `output()`. `program` is executed with `arguments`,
  // which begin with its name.
  started_process(const std::string& program, const std::vector<std::string>& arguments,
                  const std::vector<int>& cpus);
  // The same of a function of this program, whose result is its exit code.
  started_process(const std::function<int()>& work, const std::vector<int>& cpus);
  started_process(const started_process&) = delete;
  started_process& operator=(const started_process&) = delete;
  ~started_process();

  // Reads what it says, until that contains `part` or the time is over or it says no more.
  // True: it contains it.
  [[nodiscard]] bool read_until(std::string_view part, std::chrono::milliseconds most);
  // Until it says no more. False: the time is over.
  [[nodiscard]] bool read_all(std::chrono::milliseconds most);
  [[nodiscard]] const std::string& output() const noexcept { return output_; }

  void signal(int number) const noexcept;
  // Its exit code; 128 and the number of the signal that has ended it. After `most` it is killed.
  int wait(std::chrono::milliseconds most);
  // After wait().
  [[nodiscard]] const usage& used() const noexcept { return used_; }
  [[nodiscard]] ::pid_t pid() const noexcept { return pid_; }

 private:
  // In the child: returns there alone.
  [[nodiscard]] bool begin(const std::vector<int>& cpus);

  ::pid_t pid_ = -1;
  unique_fd from_;
  std::string output_;
  usage used_;
  bool waited_ = false;
};

// Threads and resident bytes of a process and all below it; those shared are divided among them. `ticks`: CPU
// time, in ticks of the kernel.
struct footprint {
  std::uint64_t threads = 0;
  std::uint64_t bytes = 0;
  std::uint64_t ticks = 0;
};
[[nodiscard]] footprint footprint_of(::pid_t pid);

// Connections to that port of this machine that no process has accepted.
[[nodiscard]] std::uint64_t waiting_clients(std::uint16_t port);

}  // namespace weir::compare
