#pragma once
// process: parked connections, which the master keeps until bytes come.

#include <chrono>
#include <cstddef>
#include <deque>
#include <list>
#include <optional>
#include <unordered_map>

#include "weir/process/detail/descriptor_channel.hpp"
#include "weir/process/detail/passed_connection.hpp"

namespace weir::process {

// Problem: a master that polls ten thousand idle connections examines all of them whenever bytes come to one,
// and a process that forks must not have an epoll set. Here the kernel sends io_signal with the number of the
// descriptor when bytes come (F_SETSIG), and the master's signal_source delivers it like any signal: an idle
// connection costs memory only. Thread: the only one of its process, whose signal_source outlives this
// object.
class parked_connections {
 public:
  using clock = std::chrono::steady_clock;

  // Errors: std::bad_alloc, and the connection is closed.
  void add(passed_connection connection);
  [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
  void clear() noexcept;

  // io_signal came for `fd`. Or the kernel could not queue as many signals: bytes may have come to any
  // connection.
  void stirred(int fd);
  void any_stirred();

  // A connection to which bytes have come, given away; empty if there is none. Connections whose peer has
  // left are closed.
  [[nodiscard]] passed_connection take_awake();
  [[nodiscard]] bool has_awake() const noexcept { return !awake_.empty(); }

  // Closes the connections that have been here for `timeout`; the result is when to call again. Zero: never.
  clock::time_point close_idle(std::chrono::milliseconds timeout, clock::time_point now);

  // Gives connections to another master, as many as its channel takes now. True if at least one was sent.
  bool give_to(descriptor_channel& other);

 private:
  struct entry {
    passed_connection fd;
    clock::time_point since;
  };
  passed_connection take(std::list<entry>::iterator at);

  std::list<entry> all_;  // the oldest first
  std::unordered_map<int, std::list<entry>::iterator> by_number_;
  std::deque<int> awake_;  // numbers of connections to which bytes may have come
};

}  // namespace weir::process
