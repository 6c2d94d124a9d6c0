#pragma once
// process: connections that belong to nobody, in the master's hands until bytes come.

#include <chrono>
#include <cstddef>
#include <deque>
#include <list>
#include <optional>
#include <unordered_map>

#include "weir/base/unique_fd.hpp"
#include "weir/process/detail/descriptor_channel.hpp"

namespace weir::process {

// Problem: a master that polls ten thousand idle connections looks at all of them whenever one stirs, and an
// epoll set is what a process that forks must not have. Here each has the kernel send io_signal with its
// number when bytes come (F_SETSIG), which the master's signal_source delivers like any signal: what an idle
// one costs is its memory.
// Thread: the only one of its process, whose signal_source outlives this object.
class parked_connections {
 public:
  using clock = std::chrono::steady_clock;

  void add(unique_fd connection);
  [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
  void clear() noexcept;

  // io_signal came for `fd`. Or the kernel could not queue as many signals: any of them may have stirred.
  void stirred(int fd);
  void any_stirred();

  // One to which bytes have come, given away; none if there is none. Those whose peer has left are closed.
  [[nodiscard]] unique_fd take_awake();
  [[nodiscard]] bool has_awake() const noexcept { return !awake_.empty(); }

  // Closes those that have been here for `timeout`; when the next one will have been. Zero: never.
  clock::time_point close_idle(std::chrono::milliseconds timeout, clock::time_point now);

  // To another master, as many as its channel takes now.
  void give_to(descriptor_channel& other);

 private:
  struct entry {
    unique_fd fd;
    clock::time_point since;
  };
  unique_fd take(std::list<entry>::iterator at);

  std::list<entry> all_;  // the oldest first
  std::unordered_map<int, std::list<entry>::iterator> by_number_;
  std::deque<int> awake_;  // perhaps: by number
};

}  // namespace weir::process
