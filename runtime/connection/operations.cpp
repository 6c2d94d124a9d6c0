#include "weir/connection/detail/operations.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "kinds.hpp"
#include "weir/base/error.hpp"

namespace weir::detail {

[[gnu::noinline]] bool ended(connection_state& c, long n, bool between_messages) noexcept {
  if (n == -EAGAIN || n == -EINTR) {
    if (!c.is_stopping() || !between_messages || c.awaits_first_bytes) {
      if (c.mode != io::wait_mode::blocking && n != -EINTR) c.readable = false;
      return false;
    }
    c.end = ending::stopping;
    return true;
  }
  if (n == 0)
    c.end = c.broken ? ending::peer_reset : ending::peer_closed;
  else
    c.end = c.fd < 0 ? ending::closed : ending::peer_reset;
  return true;
}

bool cancel_receive(operation& op, int error) noexcept {
  auto& self = static_cast<receive_operation&>(op);
  self.leave_reading();
  self.answer = static_cast<std::uintptr_t>(error);
  return true;
}

void drop_received(operation& op) noexcept {
  if (op.answer >= receive_operation::lowest_address)
    io::chunk_block::release(io::chunk_block::of(reinterpret_cast<std::byte*>(op.answer)));
}

bool cancel_read(operation& op, int error) noexcept {
  auto& self = static_cast<read_operation&>(op);
  self.leave_reading();
  self.error = error;
  return true;
}

[[gnu::noinline]] bool receive_end(receive_operation& op) noexcept {
  op.leave_reading();
  return receive_nothing(op, 0);
}

namespace {

template <bool was_parked>
bool try_receive(receive_operation& op) noexcept;

template <bool was_parked>
bool receive_into_new_chunk(receive_operation& op) noexcept {
  return op.on->chunks().find() ? try_receive<was_parked>(op) : receive_nothing(op, ENOMEM);
}

template <bool was_parked>
bool receive_failed(receive_operation& op, std::byte* unused, long n) noexcept {
  op.on->chunks().give_back(io::chunk_block::of(unused));
  if (ended(*op.on, n, true)) return receive_nothing(op, 0);
  op.kind = &kind_of_receive;  // instead of the result that there is not
  // Nothing was said about the socket: no event would come.
  if (interrupted(*op.on, n)) return try_receive<was_parked>(op);
  if (was_parked) op.park_reading();
  return false;
}

// What becomes of a receive that is done: its caller is told, or its coroutine is resumed. What is rare is a
// function of its own, and is called last: then receive_by needs no stack frame.
struct tells {
  template <auto What, class... More>
  [[gnu::noinline]] static bool rarely(receive_operation& op, More... more) noexcept {
    return What(op, more...);
  }
  static bool done(receive_operation&) noexcept { return true; }
};
struct resumes {
  template <auto What, class... More>
  [[gnu::noinline]] static void rarely(receive_operation& op, More... more) {
    if (What(op, more...)) operation_kind::resume(op);
  }
  static void done(receive_operation& op) { operation_kind::resume(op); }
};

// Across the system call only `op` is kept, and what the call needs itself: more would not fit into the
// registers that a call leaves alone.
template <class Then, bool was_parked>
[[gnu::always_inline]] inline auto receive_by(receive_operation& op) {
  connection_state& before = *op.on;
  // After an end another wait may have taken the direction.
  if (before.end != ending::none) [[unlikely]]
    return Then::template rarely<receive_end>(op);
  if (was_parked) before.reading = nullptr;
  io::chunk_block* const block = before.chunks().take_last();
  if (block == nullptr) [[unlikely]]
    return Then::template rarely<receive_into_new_chunk<was_parked>>(op);
  const std::size_t room = block->capacity;
  connection_state* on = op.on;
  std::byte* data = block->data();
  asm("" : "+r"(on), "+r"(data));
  op.answer = reinterpret_cast<std::uintptr_t>(data);
  const long n = system_call::recv(on->fd, data, room);
  if (n <= 0) [[unlikely]]
    return Then::template rarely<receive_failed<was_parked>>(op, data, n);
  io::chunk_block::of(data)->size = static_cast<std::size_t>(n);
  connection_state& c = *op.on;
  c.has_received(static_cast<std::size_t>(n));
  c.heard = io::descriptor::hearing::since_wait;
  if (static_cast<std::size_t>(n) < room) [[likely]]
    c.readable = c.reads_until_eagain;
  return Then::done(op);
}

template <bool was_parked>
bool try_receive(receive_operation& op) noexcept {
  return receive_by<tells, was_parked>(op);
}

bool proceed_receive(operation& op) noexcept {
  return try_receive<true>(static_cast<receive_operation&>(op));
}

// The driver calls it for each event of a connection that waits in receive().
void advance_receive(operation& op) { receive_by<resumes, true>(static_cast<receive_operation&>(op)); }

bool proceed_read(operation& op) noexcept { return proceed_reading<read_operation>(op); }

const operation_kind kind_of_ring_read{.proceed = proceed_reading<read_operation, by_ring>,
                                       .cancel = cancel_read,
                                       .completed = &kind_of_ring_read,
                                       .finish = finish_with_kept};

}  // namespace

const operation_kind kind_of_receive{.proceed = proceed_receive,
                                     .cancel = cancel_receive,
                                     .advance = advance_receive,
                                     .completed = &kind_of_ring_receive,
                                     .finish = finish_receive,
                                     .drop = drop_received,
                                     .layered = &kind_of_layered_receive};
const operation_kind kind_of_read{.proceed = proceed_read,
                                  .cancel = cancel_read,
                                  .completed = &kind_of_ring_read,
                                  .finish = finish_with_kept,
                                  .layered = &kind_of_layered_read};

void connection_operation::throw_failed(int error, const char* what) const {
  throw std::system_error(error, std::generic_category(), fmt::format("{} {}", what, on->peer().to_string()));
}

void connection_operation::direction_taken(chain& waiting, std::coroutine_handle<> h) {
  if (on == &no_connection.state) {
    std::fputs("weir: an operation on a connection that was moved from\n", stderr);
    std::abort();
  }
  if (!on->is_orphan())
    throw std::system_error(std::make_error_code(std::errc::operation_in_progress),
                            "another coroutine waits on this connection in the same direction");
  waiting.suspend(*this, h);
  waiting.schedule();
}

void connection_operation::again() noexcept {
  on->moved_slowly();
  root->schedule();
}

void connection_operation::again_reading() noexcept {
  on->reading = this;
  again();
}

void connection_operation::again_writing() noexcept {
  on->writing = this;
  again();
}

chunk receive_operation::nothing_received() const {
  if (answer != 0) throw_failed(static_cast<int>(answer), "receive");
  return {};
}

bool receive_operation::attempt() noexcept { return try_receive<false>(*this); }

attempt_result read_operation::attempt() noexcept { return attempt_by<by_call>(); }

template <class Way>
attempt_result read_operation::attempt_by() noexcept {
  connection_state& c = *on;
  for (std::size_t moved = 0; done < least;) {
    if (c.end != ending::none) [[unlikely]]
      return attempt_result::done;
    if (moved >= most_per_turn) {
      c.driver->end_round();
      return attempt_result::again;
    }
    const std::size_t room = std::min(size - done, most_per_turn);
    const long n = Way::recv(c, into + done, room);
    if (n <= 0) {
      if (ended(c, n, done == 0)) return attempt_result::done;
      return interrupted(c, n) ? attempt_result::again : attempt_result::blocked;
    }
    if (!Way::asks_ring) c.has_received(static_cast<std::size_t>(n));
    done += static_cast<std::size_t>(n);
    moved += static_cast<std::size_t>(n);
    c.moved_slowly();
    if (!Way::knows_readiness) {  // there may be more at the next look
      c.heard = io::descriptor::hearing::since_wait;
    } else if (static_cast<std::size_t>(n) < room && !c.reads_until_eagain) {
      c.drained();
      return done >= least ? attempt_result::done : attempt_result::blocked;
    }
  }
  return attempt_result::done;
}

template attempt_result read_operation::attempt_by<by_layer>() noexcept;

bool read_exactly_operation::await_resume() const {
  if (error != 0) throw_failed(error, "read_exactly");
  if (done == least) return true;
  if (done != 0) throw std::system_error(errc::truncated, on->peer().to_string());
  return false;
}

}  // namespace weir::detail
