#pragma once
// connection: that the server stops, for handlers that wait for something else than their peer.

#include "weir/task/event.hpp"

namespace weir {

// One for each core: core.local<stop_signal>(), or connection::stopping(). Sticky: a wait that begins late
// ends at once. Thread: the core's.
class stop_signal : public event {
 public:
  template <class Core>
  explicit stop_signal(Core&) noexcept {}
};

}  // namespace weir
