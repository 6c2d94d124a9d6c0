#include "weir/core/detail/cgroup_quota.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>

namespace weir {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

std::optional<double> positive(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number <= 0) return std::nullopt;
  return number;
}

bool has_word(std::string_view list, std::string_view word) {
  for (std::size_t at = 0; at <= list.size();) {
    const auto end = std::min(list.find(',', at), list.size());
    if (list.substr(at, end - at) == word) return true;
    at = end + 1;
  }
  return false;
}

// Where a hierarchy of control groups is mounted, and which group is at the mount point: in a container often
// not the topmost.
struct mount {
  std::string group;
  std::string point;
};

// A line of proc/self/mountinfo (proc(5)): id parent device root point options [tags] - type source
// super-options
std::optional<mount> find_mount(const fs::path& root, bool version2) {
  std::ifstream in(root / "proc/self/mountinfo");
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string id, parent, device, word, type, source, options;
    mount found;
    words >> id >> parent >> device >> found.group >> found.point;
    while (words >> word && word != "-") continue;
    words >> type >> source >> options;
    if (version2 ? type == "cgroup2" : type == "cgroup" && has_word(options, "cpu")) return found;
  }
  return std::nullopt;
}

// A process's group in a hierarchy, from a line of proc/self/cgroup: number:controllers:path
std::optional<std::string> find_group(const fs::path& root, bool version2, ::pid_t process) {
  std::ifstream in(root / "proc" / (process == 0 ? "self" : std::to_string(process)) / "cgroup");
  for (std::string line; std::getline(in, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = std::string_view(line).substr(first + 1, second - first - 1);
    if (version2 ? line.starts_with("0::") : has_word(controllers, "cpu")) return line.substr(second + 1);
  }
  return std::nullopt;
}

// The way from the mount point to the group. A group outside of what is mounted (cgroup namespaces say "/.."
// then) leaves only the mount point to be asked.
fs::path below(const mount& at, std::string_view group) {
  if (at.group != "/") {
    const bool inside =
        group.starts_with(at.group) && (group.size() == at.group.size() || group[at.group.size()] == '/');
    group = inside ? group.substr(at.group.size()) : "";
  }
  fs::path way;
  for (const auto& name : fs::path(group).relative_path()) {
    if (name == "..") return {};
    way /= name;
  }
  return way;
}

std::optional<cgroup_quota> quota_of(const fs::path& directory, bool version2) {
  const auto file = directory / (version2 ? "cpu.max" : "cpu.cfs_quota_us");
  std::optional<double> quota;
  std::optional<double> period;
  if (version2) {
    std::istringstream words(first_line(file));  // "150000 100000" or "max 100000"
    std::string granted, per;
    words >> granted >> per;
    quota = positive(granted);
    period = positive(per);
  } else {
    quota = positive(first_line(file));  // -1: none
    period = positive(first_line(directory / "cpu.cfs_period_us"));
  }
  if (!quota || !period) return std::nullopt;
  return cgroup_quota{*quota / *period, file.string()};
}

}  // namespace

std::optional<cgroup_quota> read_cgroup_quota(const std::string& root, ::pid_t process) {
  std::optional<cgroup_quota> smallest;
  for (const bool version2 : {true, false}) {
    const auto group = find_group(root, version2, process);
    const auto at = find_mount(root, version2);
    if (!group || !at) continue;
    const auto top = (fs::path(root) / fs::path(at->point).relative_path()).lexically_normal();
    for (auto directory = top / below(*at, *group);; directory = directory.parent_path()) {
      if (auto found = quota_of(directory, version2); found && (!smallest || found->cpus < smallest->cpus))
        smallest = std::move(found);
      if (directory == top) break;
    }
  }
  return smallest;
}

}  // namespace weir
