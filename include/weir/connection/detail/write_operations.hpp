#pragma once
// connection: the awaiters behind connection's verbs that send.

#include <sys/types.h>

#include <coroutine>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>

#include "weir/base/detail/system_call.hpp"
#include "weir/connection/detail/operations.hpp"

namespace weir::detail {

extern const operation_kind kind_of_send;
extern const operation_kind kind_of_gather;
extern const operation_kind kind_of_send_file;

// Base of what waits to write.
struct write_operation : connection_operation {
  using connection_operation::connection_operation;
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) {
    wait_to_write(h);
  }
  bool await_resume() const {
    if (outcome < 0) [[unlikely]]
      return not_sent();
    return true;
  }
  // After a failed system call: done if that is final.
  attempt_result give_up(int failure) noexcept;
  // A system call has moved `n` bytes, of `asked`, and more are left.
  attempt_result not_all_yet(std::size_t n, std::size_t asked) noexcept;
  [[nodiscard]] bool not_sent() const;
  // What a layer has taken goes to the socket.
  attempt_result flush_layer() noexcept;

  // Negative when it has failed: an errno, or that the peer is gone. Otherwise all is sent in the end; some
  // operations count here what is left, because this is part of each connection's frame.
  long outcome = 0;
  static constexpr long peer_gone = std::numeric_limits<long>::min();
};

struct send_operation : write_operation {
  send_operation(connection_state& c, const void* bytes, std::size_t count) noexcept
      : write_operation(c), data(static_cast<const char*>(bytes)) {
    outcome = static_cast<long>(count);
  }
  bool await_ready() noexcept {
    return on->writable && on->driver->spend() && attempt() == attempt_result::done;
  }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) {
    kind = &kind_of_send;
    wait_to_write(h);
  }
  [[nodiscard]] std::size_t left() const noexcept { return static_cast<std::size_t>(outcome); }
  attempt_result attempt() noexcept {
    connection_state& c = *on;
    const std::size_t part = left() < most_per_turn ? left() : most_per_turn;
    const long n = system_call::send(c.fd, data, part);
    if (n == outcome) [[likely]] {
      c.sent = true;
      c.has_sent(static_cast<std::size_t>(n));
      return attempt_result::done;
    }
    return attempted(n, part);
  }
  attempt_result attempted(long n, std::size_t part) noexcept;
  template <class Way>
  attempt_result attempt_by() noexcept {
    return attempt();
  }

  const char* data;
};

// A chunk is never more than a turn may move.
struct send_chunk_operation : send_operation {
  using send_operation::send_operation;
  bool await_ready() noexcept {
    if (!on->writable || !on->driver->spend()) return false;
    on->sent = true;  // before the call, after which `on` would be loaded again; attempted() corrects it
    const long n = system_call::send(on->fd, data, left());
    if (n == outcome) [[likely]] {
      on->has_sent(static_cast<std::size_t>(n));
      return true;
    }
    return attempted(n, most_per_turn) == attempt_result::done;
  }
};

struct gather_operation : write_operation {
  gather_operation(connection_state& c, std::span<const std::string_view> list) noexcept
      : write_operation(kind_of_gather, c), pieces(list) {}
  bool await_ready() noexcept {
    return on->writable && on->driver->spend() && attempt() == attempt_result::done;
  }
  attempt_result attempt() noexcept;
  template <class Way>
  attempt_result attempt_by() noexcept {
    return attempt();
  }

  std::span<const std::string_view> pieces;
  std::size_t skip = 0;  // bytes of the first piece that are sent already
};

struct send_file_operation : write_operation {
  send_file_operation(connection_state& c, int from, off_t start, std::size_t count) noexcept
      : write_operation(kind_of_send_file, c), file(from), offset(start), left(count) {}
  bool await_ready() noexcept {
    return on->writable && on->driver->spend() && attempt() == attempt_result::done;
  }
  attempt_result attempt() noexcept;
  template <class Way>
  attempt_result attempt_by() noexcept {
    return attempt();
  }

  int file;
  off_t offset;
  std::size_t left;
};

}  // namespace weir::detail
