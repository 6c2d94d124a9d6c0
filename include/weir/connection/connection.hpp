#pragma once
// listen > accept > distribute > core > [connection]
// connection: the handle that a handler owns.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "weir/connection/detail/operations.hpp"
#include "weir/connection/detail/stop_signal.hpp"
#include "weir/connection/detail/write_operations.hpp"
#include "weir/connection/tls_info.hpp"
#include "weir/core/core.hpp"

namespace weir {

// One stream socket, tcp or unix. Closed when the handle dies.
//
// What must be expected of a peer is a value: an empty chunk, 0, false; end() says why. The rest throws
// std::system_error that names the peer.
// At most one coroutine waits for each direction at a time; a second one gets operation_in_progress.
// Thread: the core that accepted or connected it. Lifetime: an operation may not outlive the handle's state,
// so keep the handle while one is awaited.
// Cancel: a cancelled operation throws operation_canceled. What a cancelled read had taken, and what a
// cancelled send had sent, is gone; a cancelled receive() has taken nothing.
class connection {
 public:
  using is_core_bound = void;  // no cross_channel takes it: see core_bound

  // A handle without a connection, as one that was moved from: closed. An operation on it ends the program
  // with a message.
  connection() noexcept : state_(nobody()) {}
  explicit connection(connection_state& state) noexcept : state_(&state) {}
  connection(connection&& other) noexcept : state_(std::exchange(other.state_, nobody())) {}
  connection& operator=(connection&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  ~connection() {
    if (state_ != nobody()) state_->drop();
  }

  // Whatever has come, at most a chunk (settings.loop.chunk_size bytes). Empty at the end. Give the chunk a
  // name: GCC 12 miscompiles `while (co_await client.receive())`.
  [[nodiscard]] detail::receive_operation receive() noexcept { return detail::receive_operation(*state_); }

  // At least one byte; returns how many. 0 at the end.
  [[nodiscard]] detail::read_some_operation read_some(std::span<std::byte> into) noexcept {
    return {*state_, into};
  }

  // All of `into`: true. False at the end. Errors: errc::truncated if the end comes inside.
  [[nodiscard]] detail::read_exactly_operation read_exactly(std::span<std::byte> into) noexcept {
    return {*state_, into};
  }

  // All of it, or false if the peer is gone. What is sent stays the caller's and must live until then.
  [[nodiscard]] detail::send_operation send(std::string_view text) noexcept {
    return {*state_, text.data(), text.size()};
  }
  [[nodiscard]] detail::send_operation send(const char* text) noexcept {
    return send(std::string_view(text));
  }
  [[nodiscard]] detail::send_operation send(std::span<const std::byte> bytes) noexcept {
    return {*state_, bytes.data(), bytes.size()};
  }
  [[nodiscard]] detail::send_chunk_operation send(const chunk& c) noexcept {
    return {*state_, c.data(), c.size()};
  }
  [[nodiscard]] detail::gather_operation send(std::span<const std::string_view> pieces) noexcept {
    return {*state_, pieces};
  }

  // `count` bytes of `file` from `offset` on, without copying them through the process.
  // Errors: those of the file; ENODATA if it ends early. A slow disk holds up the core.
  [[nodiscard]] detail::send_file_operation send_file(int file, off_t offset, std::size_t count) noexcept {
    return {*state_, file, offset, count};
  }

  // Half close: sends FIN; reading goes on.
  void shutdown_send() noexcept;

  // Closes; what waits on it finds the end. What was sent is delivered: with unread input the socket lingers
  // for a while in the background; for input that is still on its way use shutdown_send() and read to the
  // end. The handle's destruction does the same. Where output is owed (a send that was cancelled or is under
  // way, a writer that died with replies in it) the connection ends with RST instead: a part of an answer
  // must not look like the whole.
  void close() noexcept { state_->close(); }

  // Closes with RST; what was not delivered is dropped.
  void abort() noexcept { state_->reset(); }

  // For the end of a handler: `co_return client.park();`. The connection stays open, without a handler or
  // a coroutine, until its next bytes come; then a handler starts afresh, on the core, or with
  // processes.accept = "dispatch" in the process, that the policy chooses. Idle timeouts go on.
  // Park between messages: what was read and not used is lost (reader::buffered()); where output is owed the
  // connection ends with RST instead. Where I/O blocks or handlers visit other threads, the next handler
  // starts at once. A connection that no server has accepted is closed.
  void park() noexcept {
    if (state_ != nobody()) std::exchange(state_, nobody())->park();
  }

  // Cuts the connection when an operation has waited that long without a byte moving in either direction;
  // zero: never. Default: settings.limits.idle_timeout. Range: up to 49 days; a longer one is never. A wait
  // for something else than this connection is not idle. A send that waits then ends with RST.
  void set_idle_timeout(std::chrono::milliseconds t) { state_->set_idle_timeout(t); }

  // The server will stop soon (settings.limits.drain_delay), or stops: a protocol that can tells the client
  // to use another connection, and ends this one between messages. Everything else goes on as before.
  [[nodiscard]] bool is_leaving() const noexcept {
    return state_->is_stopping() || state_->leaves() != departure::no;
  }

  // The server stops. Reading goes on while bytes are there or a message is incomplete, then it ends with
  // ending::stopping. For handlers that wait for something else: `co_await client.stopping()`.
  [[nodiscard]] bool is_stopping() const noexcept { return state_->is_stopping(); }
  [[nodiscard]] event::wait_operation stopping() const { return core::here().local<stop_signal>().wait(); }

  [[nodiscard]] ending end() const noexcept { return state_->end; }
  [[nodiscard]] bool is_open() const noexcept { return state_->is_open(); }
  // The client: of a listener with "proxy:" that which the balancer has named.
  [[nodiscard]] peer_address peer() const noexcept { return state_->peer(); }
  // The balancer; none if there is none. It is the peer as well where it speaks for itself (a health check).
  [[nodiscard]] peer_address via() const noexcept {
    const connection_edge* const e = state_->edge();
    return e == nullptr ? peer_address() : e->via;
  }
  // What the balancer has told beside the addresses: the first TLV of that type, see proxy_tlv().
  // Lifetime: the connection's.
  [[nodiscard]] std::optional<std::string_view> via_tlv(std::uint8_t type) const noexcept;
  // What TLS has agreed on; nothing without TLS. Errors: std::bad_alloc.
  [[nodiscard]] std::optional<tls_info> tls() const;
  // Errors: none; an empty address once it is closed.
  [[nodiscard]] peer_address local() const noexcept;
  // Gives the socket away, open; the handle is closed. -1 if it was. Bytes that io_uring has read ahead of
  // the handler are not in the socket any more: they are appended to `unread`; without it they are lost. What
  // a reader holds is its own. Over TLS the keys stay here: what the peer sends next cannot be read.
  // Errors: std::bad_alloc, and the connection stays.
  [[nodiscard]] int release(std::string& unread) { return state_->release(unread); }
  [[nodiscard]] int release() noexcept { return state_->release(); }
  [[nodiscard]] int native_handle() const noexcept { return state_->is_open() ? state_->fd : -1; }
  [[nodiscard]] connection_state& state() const noexcept { return *state_; }

 private:
  static connection_state* nobody() noexcept { return &detail::no_connection.state; }

  connection_state* state_;
};

}  // namespace weir
