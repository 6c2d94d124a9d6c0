#pragma once
// connection: the awaiters behind connection's verbs that read, and what all of them are. Each tries its
// system call first and parks on EAGAIN.

#include <coroutine>
#include <cstddef>
#include <span>

#include "weir/connection/detail/no_connection.hpp"
#include "weir/io/chunk.hpp"
#include "weir/task/task.hpp"

namespace weir::detail {

extern const operation_kind kind_of_receive;
extern const operation_kind kind_of_read;

// How far one attempt has come.
enum class attempt_result : std::uint8_t {
  done,
  blocked,  // the socket has to be waited for
  again     // it moved as much as one turn may: other chains and descriptors go first
};

// Bytes that one turn of an operation moves at most: a reader that is as fast as the loop would otherwise
// hold it for as long as the file or the text lasts.
inline constexpr std::size_t most_per_turn = std::size_t{512} * 1024;

// What parks on a connection. Trivially destructible; must not be moved once it is suspended.
struct connection_operation : operation {
  connection_operation(const operation_kind& k, connection_state& c) noexcept : operation(k), on(&c) {}
  // For an operation that sets its kind when it suspends, because most do not.
  explicit connection_operation(connection_state& c) noexcept : on(&c) {}

  // Puts `h` to wait for the direction, or at the end of the run queue if only the inline budget is spent.
  // Errors: std::system_error with operation_in_progress if another coroutine waits for that direction.
  // The direction is taken from here until the operation ends, also while it waits for its turn in the run
  // queue.
  template <task_promise P>
  void wait_to_read(std::coroutine_handle<P> h) {
    connection_state& c = *on;
    if (c.reading != nullptr) [[unlikely]]
      return direction_taken(*h.promise().root, h);
    // Whatever is rare is a tail call, and needs no register kept.
    h.promise().root->suspend_unchecked(*this, h);
    if (root->is_cancelled() || c.readable) [[unlikely]]
      return again_reading();
    c.wait_to_read_begins();
    c.driver->park_reading(c, *this);
  }
  template <task_promise P>
  void wait_to_write(std::coroutine_handle<P> h) {
    connection_state& c = *on;
    if (c.writing != nullptr) [[unlikely]]
      return direction_taken(*h.promise().root, h);
    // Whatever is rare is a tail call, and needs no register kept.
    h.promise().root->suspend_unchecked(*this, h);
    if (root->is_cancelled() || c.writable) [[unlikely]]
      return again_writing();
    c.wait_to_write_begins();
    c.driver->park_writing(c, *this);
  }
  // Not now, but from the run queue: the inline budget is spent, or a slice of a blocking call is over.
  void again() noexcept;
  void again_reading() noexcept;
  void again_writing() noexcept;
  // May give the connection to another thread: the last thing that a turn does.
  void park_reading() noexcept { on->driver->park_reading(*on, *this); }
  void park_writing() noexcept { on->driver->park_writing(*on, *this); }
  void leave_reading() noexcept {
    if (on->reading == this) on->reading = nullptr;
  }
  void leave_writing() noexcept {
    if (on->writing == this) on->writing = nullptr;
    if (on->output_wanted) [[unlikely]]
      on->output_free();
  }
  [[noreturn]] void throw_failed(int error, const char* what) const;
  // Another operation waits in the direction: throws. Or the connection has no core: ends with its end.
  void direction_taken(chain& waiting, std::coroutine_handle<> h);

  connection_state* on;
};

struct receive_operation : connection_operation {
  explicit receive_operation(connection_state& c) noexcept : connection_operation(kind_of_receive, c) {}
  bool await_ready() noexcept { return on->readable && on->driver->spend() && attempt(); }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) {
    wait_to_read(h);
  }
  chunk await_resume() const {
    if (answer < lowest_address) [[unlikely]]
      return nothing_received();
    return chunk(reinterpret_cast<std::byte*>(answer));
  }
  bool attempt() noexcept;
  [[nodiscard]] chunk nothing_received() const;

  // `answer`: where the bytes are, in a block of the pool, or an errno, or 0. No member of its own, because
  // this is part of each connection's frame.
  static constexpr std::uintptr_t lowest_address = 4096;
};

// Reads into the caller's memory until at least `least` bytes are there.
struct read_operation : connection_operation {
  read_operation(connection_state& c, std::span<std::byte> b, std::size_t enough) noexcept
      : connection_operation(kind_of_read, c), into(b.data()), size(b.size()), least(enough) {}
  // No bytes are there already: the empty body of a message must not wait for the next one.
  bool await_ready() noexcept {
    return least == 0 || (on->readable && on->driver->spend() && attempt() == attempt_result::done);
  }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) {
    wait_to_read(h);
  }
  attempt_result attempt() noexcept;
  template <class Way>
  attempt_result attempt_by() noexcept;

  int error = 0;
  std::byte* into;
  std::size_t size;
  std::size_t least;
  std::size_t done = 0;
};

struct read_some_operation : read_operation {
  read_some_operation(connection_state& c, std::span<std::byte> b) noexcept
      : read_operation(c, b, b.empty() ? 0 : 1) {}
  std::size_t await_resume() const {
    if (error != 0) throw_failed(error, "read_some");
    return done;
  }
};

struct read_exactly_operation : read_operation {
  read_exactly_operation(connection_state& c, std::span<std::byte> b) noexcept
      : read_operation(c, b, b.size()) {}
  bool await_resume() const;
};

}  // namespace weir::detail
