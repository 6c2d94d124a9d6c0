#pragma once
// dump: the cores of another process, their connections and tasks.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "program_image.hpp"
#include "wait_lines.hpp"
#include "weir/connection/detail/connection_state.hpp"
#include "weir/core/core.hpp"
#include "weir/dump/detail/remote_memory.hpp"
#include "weir/task/detail/children.hpp"

namespace weir::dump {

// A chain of coroutines, as it was when it was read.
struct chain_report {
  enum class now : std::uint8_t { runs, ready, waits, ended };
  now state = now::ended;
  std::string operation;  // that it waits for
  struct frame {
    std::uintptr_t at = 0;
    std::string name;
    std::string line;  // at which it waits; empty if it is not known
  };
  std::vector<frame> frames;  // its coroutines, the root first
  std::vector<chain_report> children;
};

struct connection_report {
  std::string peer;
  phase in = phase::ended;
  int fd = -1;
  bool stopping = false;
  std::optional<std::uint64_t> age_ms;        // since its loop has it
  std::optional<std::uint32_t> waits_for_ms;  // since when no byte has moved
  chain_report chain;
};

struct task_report {
  std::optional<std::uint64_t> age_ms;
  chain_report chain;
};

struct core_report {
  unsigned index = 0;
  bool is_loop = false;  // or a thread for handlers
  std::optional<int> cpu;
  int thread = 0;
  std::vector<connection_report> connections;
  std::vector<task_report> tasks;
  bool cut_short = false;    // there was more than may be read
  std::uintptr_t turns = 0;  // where its turn_ring lies; 0: it has none
};

// Loops first.
[[nodiscard]] bool is_before(const core_report& a, const core_report& b) noexcept;

// Work beside the loops, by the names of the functions that were offloaded.
struct jobs_report {
  std::vector<std::string> running;
  std::vector<std::string> queued;  // the first ones
  std::size_t waiting = 0;          // of all that are queued
};

// Reads a process while it changes. Each pointer is checked where it is followed: what cannot be read, or
// does not look like what it should be, ends that part of the report.
// Thread: any.
class inspection {
 public:
  // `lines`: null if no lines are asked for. Errors: those of shift_of().
  inspection(::pid_t process, const symbols& names, wait_lines* lines);

  enum class reach : std::uint8_t { loops, chains };
  // With reach::loops without their connections and tasks.
  [[nodiscard]] std::vector<core_report> cores(reach r = reach::chains);
  // Of the pools of those cores.
  [[nodiscard]] jobs_report jobs();

 private:
  // A chain that was copied.
  struct found_chain {
    std::uintptr_t at = 0;
    const chain* copy = nullptr;
    std::uintptr_t frame = 0;  // of its root
  };
  std::uintptr_t look_at_driver(const core& c, std::size_t i);
  void fetch_frames(std::span<const found_chain> of);
  [[nodiscard]] std::uintptr_t awaited_by(std::uintptr_t frame) const noexcept;
  void read_connections(const connection_table* at, core_report& into);
  void read_slabs(std::span<const std::uintptr_t> slabs, std::byte* memory, core_report& into);
  void read_tasks(const core& of, std::uintptr_t at, core_report& into);
  [[nodiscard]] std::optional<connection_report> connection_at(const found_chain& at);
  [[nodiscard]] chain_report read_chain(const found_chain& c, unsigned depth);
  void read_frames(std::uintptr_t root_frame, chain_report& into);
  void read_scopes(std::uintptr_t parent, unsigned depth, chain_report& into);
  void read_children(const detail::children& of, std::uintptr_t at, unsigned depth, chain_report& into);
  [[nodiscard]] std::string job_at(const offload_pool::job* at);
  [[nodiscard]] std::string peer_of(const connection_state& c);

  // The name of a function or an object of the program there.
  [[nodiscard]] std::string_view name_of_address(std::uintptr_t there) const noexcept {
    return names_.at(there - shift_);
  }

  const symbols& names_;
  wait_lines* lines_;
  std::map<std::uintptr_t, std::string> coroutines_;  // names of resume functions there
  std::map<std::uintptr_t, std::string> operations_;  // and of kinds of operations
  remote_memory memory_;
  std::uintptr_t shift_;
  std::set<const offload_pool*> pools_;
  std::vector<std::uintptr_t> running_;  // the chain that each core runs
  std::set<std::uintptr_t> arriving_;    // those that are on their way to a core
  std::uint64_t now_ms_ = 0;
  std::size_t left_;  // chains that may still be read
};

}  // namespace weir::dump
