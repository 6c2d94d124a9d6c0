#include "threads.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>

#include "native_stack.hpp"

namespace weir::dump {
namespace {

std::string line_of(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

std::vector<int> numbers_in(const std::string& directory) {
  std::vector<int> found;
  std::error_code ended;
  for (std::filesystem::directory_iterator at(directory, ended), end; !ended && at != end;
       at.increment(ended)) {
    const std::string name = at->path().filename();
    int n = 0;
    if (const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), n);
        error == std::errc() && rest == name.data() + name.size())
      found.push_back(n);
  }
  std::ranges::sort(found);
  return found;
}

// What follows the name in /proc/.../stat.
std::optional<std::string> after_name(const std::string& stat) {
  const auto at = stat.rfind(')');
  return at == std::string::npos || at + 2 >= stat.size() ? std::nullopt : std::optional(stat.substr(at + 2));
}

// The object file in which an address of the process lies, and where in it.
std::string object_at(::pid_t process, std::uintptr_t address) {
  std::ifstream maps(fmt::format("/proc/{}/maps", process));
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t start = 0;
    std::uintptr_t end = 0;
    std::uint64_t offset = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx %*s %lx", &start, &end, &offset) == 3 && start <= address &&
        address < end) {
      const auto slash = line.rfind('/');
      return slash == std::string::npos
                 ? std::string()
                 : fmt::format("{}+{:#x}", line.substr(slash + 1), address - start + offset);
    }
  }
  return {};
}

std::string function_at(::pid_t process, std::uintptr_t address, std::uintptr_t shift, const symbols& names) {
  const std::string_view mangled = names.at(address - shift);
  if (mangled.empty()) return object_at(process, address);
  const std::string coroutine = coroutine_name(mangled);
  return coroutine.empty() ? demangled(mangled) : coroutine;
}

}  // namespace

std::vector<thread_report> threads_of(::pid_t process, std::uintptr_t shift, const symbols& names,
                                      source_lines& lines) {
  std::vector<thread_report> found;
  native_stacks stacks(process);
  for (const int id : numbers_in(fmt::format("/proc/{}/task", process))) {
    const std::string here = fmt::format("/proc/{}/task/{}/", process, id);
    thread_report t{.id = id, .name = line_of(here + "comm"), .stack = {}};
    if (const auto rest = after_name(line_of(here + "stat"))) t.state = rest->front();
    // "running", or the number of the system call, its arguments, and where the stack and the program are.
    const std::string call = line_of(here + "syscall");
    if (const auto state =
            call.starts_with("running") || call.empty() ? state_of_running(id) : state_of_waiting(call))
      for (const std::uintptr_t at : stacks.of(*state))
        t.stack.push_back({function_at(process, at, shift, names), lines.at(at - shift)});
    found.push_back(std::move(t));
  }
  return found;
}

std::vector<::pid_t> tree_of(::pid_t process) {
  struct stat program{};
  if (::stat(fmt::format("/proc/{}/exe", process).c_str(), &program) != 0) return {process};
  std::multimap<int, int> children;
  for (const int id : numbers_in("/proc")) {
    int parent = 0;
    if (const auto rest = after_name(line_of(fmt::format("/proc/{}/stat", id)));
        rest && std::sscanf(rest->c_str(), "%*c %d", &parent) == 1)
      children.emplace(parent, id);
  }
  std::vector<::pid_t> found{process};
  for (std::size_t i = 0; i < found.size(); ++i) {
    const auto [from, to] = children.equal_range(found[i]);
    for (auto each = from; each != to; ++each) {
      struct stat s{};
      if (::stat(fmt::format("/proc/{}/exe", each->second).c_str(), &s) == 0 && s.st_ino == program.st_ino &&
          s.st_dev == program.st_dev)
        found.push_back(each->second);
    }
  }
  return found;
}

}  // namespace weir::dump
