#pragma once
// connection: output that its sender does not wait for: broadcasts.

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "weir/connection/connection.hpp"

namespace weir {

// A message that many connections send; shared because each lets go of it at its own time.
using shared_message = std::shared_ptr<const std::string>;

// Problem: a publisher with a thousand clients cannot await each send, and a client that does not read must
// not hold up the others nor fill the memory. An outbox queues messages and sends them as the client reads;
// all that come in one turn of the loop leave in one system call. A client with more than `limit` bytes
// outstanding is cut. While another coroutine's send on the connection is under way the messages wait for its
// end. Thread: the one on which it was made, which is that of the connection's handler. While an outbox
// lives, the handler stays on that thread. Lifetime: the connection outlives it; what is not sent when it
// dies is lost, and a connection that has got a part of a message ends with RST.
class outbox : private chain {
 public:
  // `limit`: bytes that may wait for a client that does not read. Errors: std::bad_alloc.
  outbox(connection& to, std::size_t limit);
  ~outbox();

  // False if the client was cut, by this message or before, or is gone. Never waits.
  bool post(shared_message m);
  bool post(std::string_view text) { return post(std::make_shared<const std::string>(text)); }

  // Bytes that are not sent yet.
  [[nodiscard]] std::size_t pending() const noexcept { return pending_; }

  // Whether the limit was passed; the connection is reset then, and its handler finds the end.
  [[nodiscard]] bool evicted() const noexcept { return evicted_; }

 private:
  friend class outbox_waiters;
  struct flush_operation : operation {
    explicit flush_operation(outbox& o) noexcept;
    outbox* from;
  };
  static bool proceed(operation& op) noexcept;
  static bool cancel(operation& op, int error) noexcept;
  static constexpr operation_kind kind{&proceed, &cancel};

  void turn() override { flush(); }
  void finished() noexcept override {}
  void flush() noexcept;
  void flush_by_layer() noexcept;
  void wait_for_room() noexcept;
  void drop_all() noexcept;

  connection_state* state_;
  std::size_t limit_;
  std::deque<shared_message> queue_;
  std::size_t sent_of_first_ = 0;
  std::size_t pending_ = 0;
  flush_operation operation_;
  outbox* next_waiting_ = nullptr;
  bool waits_ = false;  // until another coroutine's send has ended
  bool evicted_ = false;
  bool gone_ = false;
};

}  // namespace weir
