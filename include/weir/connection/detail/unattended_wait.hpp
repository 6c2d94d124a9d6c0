#pragma once
// connection: waits for input of a connection that is closed and lingers, or is parked.

#include "weir/task/detail/block_pool.hpp"
#include "weir/task/detail/chain.hpp"

namespace weir {

class connection_state;

// Taken from block_pool when a connection begins to linger. It is a chain of its own because the handler's
// chain may still run while the socket lingers. Thread: the core's.
class unattended_wait final : public chain, private operation {
 public:
  // Errors: null without memory.
  [[nodiscard]] static unattended_wait* make(connection_state& on) noexcept;

  // Waits for input.
  void park() noexcept;

  // Looks again from the run queue: there may be more input than one turn is given.
  void look_again() noexcept { schedule(); }

  // Ends the wait, and frees this object. Called also in its own turn, which does not touch it afterwards.
  void end() noexcept;

 private:
  explicit unattended_wait(connection_state& on) noexcept;
  ~unattended_wait() = default;

  static bool has_input(operation& op) noexcept;
  static bool failed(operation& op, int error) noexcept;
  static constexpr operation_kind kind_of_wait{&has_input, &failed};

  void finished() noexcept override {}
  void turn() override;
  void describe(char* text, std::size_t size) const noexcept override;

  connection_state* on_;
  bool failed_ = false;  // epoll refuses the socket
};

// The same for a parked connection. No handler runs, so the connection's own chain has the turns, and this is
// not more than what the driver needs. Thread: the core's.
class parked_wait final : private operation {
 public:
  // Errors: null without memory.
  [[nodiscard]] static parked_wait* make(connection_state& on) noexcept;

  // Waits for input.
  void park() noexcept;

  // Ends the wait, and frees this object.
  void end() noexcept;

 private:
  explicit parked_wait(connection_state& on) noexcept;
  ~parked_wait() = default;

  [[nodiscard]] static connection_state& connection_of(operation& op) noexcept;
  static bool has_input(operation& op) noexcept;
  static bool failed(operation& op, int error) noexcept;
  static constexpr operation_kind kind_of_parked{&has_input, &failed};
};

}  // namespace weir
