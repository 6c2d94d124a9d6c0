#pragma once
// connection: outboxes that wait until another coroutine's send on their connection has ended.

#include "weir/core/core.hpp"

namespace weir {

class connection_state;
class outbox;

// Core-local, of the core on whose thread the outboxes are. Thread: that one.
class outbox_waiters {
 public:
  explicit outbox_waiters(core& /*home*/) noexcept {}

  void add(outbox& o) noexcept;
  void remove(outbox& o) noexcept;

  // The send of `c` has ended: its outboxes have their turn.
  void wake(const connection_state& c) noexcept;

 private:
  outbox* first_ = nullptr;
};

}  // namespace weir
