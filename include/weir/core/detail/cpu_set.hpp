#pragma once
// core: a set of CPU numbers.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weir {

// The numbers of a list such as "0-3,8", in the order written and with any repetition.
// Errors: std::invalid_argument that quotes `text` and says what is wrong.
[[nodiscard]] std::vector<int> parse_cpu_list(std::string_view text);

// A set of CPU numbers, iterated in ascending order.
class cpu_set {
 public:
  cpu_set() = default;
  explicit cpu_set(std::span<const int> cpus);

  // Errors: as parse_cpu_list.
  [[nodiscard]] static cpu_set parse(std::string_view text);

  [[nodiscard]] bool contains(int cpu) const noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return cpus_.size(); }
  [[nodiscard]] bool empty() const noexcept { return cpus_.empty(); }
  [[nodiscard]] auto begin() const noexcept { return cpus_.begin(); }
  [[nodiscard]] auto end() const noexcept { return cpus_.end(); }

  // The shortest list that parse reads as this set: "0-3,8".
  [[nodiscard]] std::string to_string() const;

  bool operator==(const cpu_set&) const = default;

 private:
  std::vector<int> cpus_;  // ascending, each once
};

// The CPUs that the kernel lets this thread run on (taskset, cpuset cgroups).
// Errors: std::system_error.
[[nodiscard]] cpu_set allowed_cpus();

}  // namespace weir
