#pragma once
// dump: the cores of another process, their connections and tasks.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "program_image.hpp"
#include "weir/connection/detail/connection_state.hpp"
#include "weir/core/core.hpp"
#include "weir/dump/detail/remote_memory.hpp"

namespace weir::dump {

// A chain of coroutines, as it was when it was read.
struct chain_report {
  enum class now : std::uint8_t { runs, ready, waits, ended };
  now state = now::ended;
  std::string operation;            // that it waits for
  std::vector<std::string> frames;  // names of its coroutines, the root first
  std::vector<chain_report> children;
};

struct connection_report {
  std::string peer;
  phase in = phase::ended;
  int fd = -1;
  bool stopping = false;
  std::optional<std::uint32_t> waits_for_ms;  // since when no byte has moved
  chain_report chain;
};

struct core_report {
  unsigned index = 0;
  std::optional<int> cpu;
  int thread = 0;
  std::vector<connection_report> connections;
  std::vector<chain_report> tasks;
  bool cut_short = false;  // there was more than may be read
};

// Reads a process while it changes. Each pointer is checked where it is followed: what cannot be read, or
// does not look like what it should be, ends that part of the report.
// Thread: any.
class inspection {
 public:
  // Errors: those of shift_of().
  inspection(::pid_t process, const symbols& names);

  [[nodiscard]] std::vector<core_report> cores();

 private:
  void read_connections(const connection_table* at, core_report& into);
  [[nodiscard]] std::optional<connection_report> connection_at(std::uintptr_t at, const connection_state& c);
  [[nodiscard]] chain_report read_chain(std::uintptr_t at, const chain& copy, std::uintptr_t root_frame,
                                        unsigned depth);
  void read_frames(std::uintptr_t root_frame, chain_report& into);
  void read_children(std::uintptr_t wait, unsigned depth, chain_report& into);
  [[nodiscard]] std::string peer_of(const connection_state& c);

  // The name of a function or an object of the program there.
  [[nodiscard]] std::string_view name_of_address(std::uintptr_t there) const noexcept {
    return names_.at(there - shift_);
  }

  const symbols& names_;
  remote_memory memory_;
  std::uintptr_t shift_;
  std::uintptr_t running_ = 0;  // the chain that the core runs
  std::uint32_t now_ms_ = 0;
  std::size_t left_;  // chains that may still be read
};

}  // namespace weir::dump
