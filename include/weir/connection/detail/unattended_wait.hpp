#pragma once
// connection: waits for input of a connection while no handler does: it lingers, or it is parked.

#include "weir/task/detail/block_pool.hpp"
#include "weir/task/detail/chain.hpp"

namespace weir {

class connection_state;

// Taken from block_pool when a connection begins to linger or to wait parked. It is a chain of its own
// because the handler's chain may still run while the socket lingers. Thread: the core's.
class unattended_wait final : public chain, private operation {
 public:
  // Errors: null without memory.
  [[nodiscard]] static unattended_wait* make(connection_state& on) noexcept;

  // Waits for input.
  void park() noexcept;

  // Looks again from the run queue: there may be more input than one turn is given.
  void look_again() noexcept { schedule(); }

  // Ends the wait: nothing refers to it any more, and its memory is freed after the present turn. Called also
  // in its own turn.
  void retire() noexcept;

  // The same at once, for the end of the core.
  void destroy() noexcept;

 private:
  explicit unattended_wait(connection_state& on) noexcept;
  ~unattended_wait() = default;

  static bool has_input(operation& op) noexcept;
  static bool abandoned(operation&, int) noexcept { return true; }
  static constexpr operation_kind kind_of_wait{&has_input, &abandoned};

  void detach() noexcept;
  void finished() noexcept override {}
  void turn() override;
  void describe(char* text, std::size_t size) const noexcept override;

  connection_state* on_;  // null when it is retired
};

}  // namespace weir
