#pragma once
// process: a connection on its way between processes.

#include <utility>

#include "weir/base/unique_fd.hpp"
#include "weir/listen/socket_layers.hpp"

namespace weir::process {

// A socket, and the layers of the listener that has accepted it: nothing of them has been read yet. A parked
// connection has none.
struct passed_connection : unique_fd {
  passed_connection() = default;
  passed_connection(unique_fd fd, socket_layers on_it = {}) noexcept  // NOLINT(*-explicit-*): most have none
      : unique_fd(std::move(fd)), layers(on_it) {}

  socket_layers layers;
};

// A listener from which the master takes connections.
struct watched_listener {
  int fd = -1;
  socket_layers layers = {};
  bool operator==(const watched_listener&) const = default;
};

}  // namespace weir::process
