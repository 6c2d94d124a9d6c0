#include "weir/core/detail/machine.hpp"

#include <fmt/format.h>

#include <charconv>
#include <exception>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

namespace weir {
namespace {

namespace fs = std::filesystem;

cpu_set parsed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  try {
    return text.empty() ? cpu_set() : cpu_set::parse(text);
  } catch (const std::exception&) {
    return {};
  }
}

cpu_set list_in(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return parsed(std::move(line));
}

}  // namespace

cpu_set online_cpus(const std::string& root) {
  return list_in(fs::path(root) / "sys/devices/system/cpu/online");
}

cpu_set smt_siblings(int cpu, const std::string& root) {
  return list_in(fs::path(root) /
                 fmt::format("sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
}

// proc(5): "cpu0 user nice system idle iowait irq softirq steal guest guest_nice"; guest is in user already.
std::map<int, cpu_time> cpu_times(const std::string& root) {
  std::map<int, cpu_time> out;
  std::ifstream in(fs::path(root) / "proc/stat");
  for (std::string line; std::getline(in, line) && line.starts_with("cpu");) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    int cpu = 0;
    const char* const end = name.data() + name.size();
    if (name.size() == 3 || std::from_chars(name.data() + 3, end, cpu).ptr != end) continue;  // the sum
    cpu_time& t = out[cpu];
    std::uint64_t ticks = 0;
    for (int field = 0; field < 8 && words >> ticks; ++field) {
      t.all += ticks;
      if (field == 3 || field == 4) t.idle += ticks;
      if (field == 6) t.softirq = ticks;
    }
  }
  return out;
}

std::optional<cpu_set> cpus_of_thread(::pid_t process, ::pid_t thread, const std::string& root) {
  constexpr std::string_view label = "Cpus_allowed_list:";
  std::ifstream in(fs::path(root) / fmt::format("proc/{}/task/{}/status", process, thread));
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(label)) continue;
    return parsed(line.substr(std::min(line.find_first_not_of(" \t", label.size()), line.size())));
  }
  return std::nullopt;
}

}  // namespace weir
