#pragma once
// connection: what a core keeps of one connection; the handle that people hold is `connection`.

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "weir/admission/detail/permit_pool.hpp"
#include "weir/connection/detail/stop_signal.hpp"
#include "weir/core/core.hpp"
#include "weir/io/detail/descriptor.hpp"
#include "weir/io/detail/timer_wheel.hpp"
#include "weir/listen/peer_address.hpp"
#include "weir/task/task.hpp"

namespace weir {

// Why a connection gives no more bytes.
enum class ending : std::uint8_t {
  none,         // it is open
  peer_closed,  // the peer sent FIN
  peer_reset,   // the peer, or the network, broke it
  idle,         // nothing moved for the idle timeout
  stopping,     // the server stops
  closed,       // this side closed it
};

class connection_table;
class migration;
class worker_queue;

// A socket in the event loop, the chain of the handler that serves it, and its idle timer: one block of
// memory for a connection. It lives until both the handle is gone and the handler has ended, and then until
// the batch of events that is being worked on is over.
// Thread: its core's.
class connection_state final : public io::descriptor, private io::timer, public chain {
 public:
  connection_state(connection_table& table, int fd, const peer_address& peer) noexcept;

  // Serves the connection with `handler`, from the run queue on. `permit` is held until the state is freed.
  void serve(task<> handler, permit_pool::permit permit) noexcept;

  // Before serve(). The handler, and what it does with this connection, runs on the threads of `at`.
  // Errors: std::bad_alloc.
  void run_handler_on(worker_queue& at);

  // Before serve(). While the handler has no children, what waits for this connection blocks its thread, for
  // a slice of time after which others there have their turn. Errors: std::system_error.
  void block(std::chrono::milliseconds slice);

  // The core's thread, which holds it: its handler goes on, after a worker_queue had no room.
  void go_on() noexcept;

  // The server stops: what has come is still read, and then, between messages, the end. One that is younger
  // than `grace` milliseconds and has not been heard yet is told, but its end comes only with end_grace():
  // another process may be taking over, and its first request is on its way.
  void stop(std::uint32_t grace = 0) noexcept;
  void end_grace() noexcept;
  [[nodiscard]] bool is_stopping() const noexcept { return stopping_.load(std::memory_order_relaxed); }

  // For workers/: where its handler is, if that is not its core; whether it is on its core; what happened
  // while another thread held it.
  [[nodiscard]] migration* away() const noexcept { return migration_; }
  [[nodiscard]] bool is_home() const noexcept;
  void take_pending_events() noexcept;

  // Cancels what the handler waits for.
  void cut() noexcept;

  // A part of a message has moved, or a wait has begun: what blocks is not idle.
  void progressed() noexcept {
    if (mode == io::wait_mode::blocking) io::timer::expiry = driver->refresh_now();
  }

  // No more input: what waits for bytes finds an end for the given reason. What was sent goes on.
  void end_input(ending why) noexcept;

  // The same with RST, and what was not delivered is dropped.
  void reset_socket() noexcept;

  // Closes the socket. What waits for it finds the end.
  void close_socket(ending why) noexcept;

  // Gives the socket away, as if it was closed, without closing it.
  [[nodiscard]] int release_socket() noexcept;

  // The same for the peer's sake: with unread input a close makes the kernel send RST, which destroys the
  // last reply on its way. Then FIN goes out first, and input is thrown away until the peer's FIN or for 5 s.
  void close_gracefully(ending why) noexcept;

  // Sending has failed. The kernel tells an error once: reading finds a plain end then.
  void lost(int error) noexcept { broken |= error != EPIPE && error != ENOMEM && error != ENOBUFS; }

  // The handle is gone.
  void drop() noexcept;

  // The same, but the connection stays, for the handler that the table finds for it: from when the present
  // one has ended and bytes have come.
  void park() noexcept;

  // Of one that is to go on elsewhere.
  [[nodiscard]] permit_pool::permit take_permit() noexcept { return std::exchange(permit_, {}); }

  // Zero: none.
  void set_idle_timeout(std::chrono::milliseconds t);

  [[nodiscard]] io::chunk_pool& chunks() const noexcept { return driver->chunks(); }
  [[nodiscard]] const peer_address& peer() const noexcept { return peer_; }

  [[nodiscard]] core& home_core() const noexcept;

  ending end = ending::none;
  bool broken = false;              // by the peer or the network, and sending was told
  bool awaits_first_bytes = false;  // although it is stopping

 private:
  friend class connection_table;
  struct unattended_operation;

  static void park_elsewhere(io::descriptor& on, bool for_reading) noexcept;
  [[nodiscard]] bool is_idle(std::uint64_t now) const noexcept;
  void end_idle() noexcept;
  void stop_here() noexcept;
  void children_changed(bool) noexcept override;
  void set_blocking(bool) noexcept;

  bool linger_step() noexcept;
  void end_linger() noexcept;
  [[nodiscard]] bool wait_unattended(const operation_kind& kind) noexcept;
  void wait_no_more() noexcept;
  [[nodiscard]] bool is_lingering() const noexcept;
  void begin_parking() noexcept;
  void end_parking() noexcept;
  [[nodiscard]] bool has_unread_input() const noexcept;

  void finished() noexcept override;
  void describe(char* text, std::size_t size) const noexcept override;
  void turn() override;
  void log_failure() noexcept;
  void check_idle() noexcept;

  std::atomic<bool> stopping_{false};
  bool held_ = true;
  bool may_block_ = false;
  bool parked_ = false;             // by its handler, which has not ended yet
  std::uint32_t place_;             // in the table
  std::uint32_t idle_timeout_ = 0;  // milliseconds
  connection_table& table_;
  migration* migration_ = nullptr;
  std::coroutine_handle<task<>::promise_type> handler_;
  permit_pool::permit permit_;
  peer_address peer_;
  unattended_operation* unattended_ = nullptr;  // what waits although no handler does
};

// What becomes of connections that belong to nobody. Called on the core's thread.
struct parking {
  enum class given : std::uint8_t { yes, not_now, never };

  // Another process takes a copy of the descriptor; when a server stops, and, with `at_once`, always.
  std::function<given(int fd)> give_away = {};
  bool at_once = false;
  // Bytes have come: starts a handler, or takes the socket away.
  std::function<void(connection_state&)> wake = {};
};

// The connections of one core. Core-local: core.local<connection_table>().
class connection_table {
 public:
  explicit connection_table(core& home) noexcept;
  connection_table(const connection_table&) = delete;
  connection_table& operator=(const connection_table&) = delete;
  ~connection_table();

  // A connection on `fd`, which it owns from then on. Errors: std::bad_alloc, and `fd` is closed.
  [[nodiscard]] connection_state& open(int fd, const peer_address& peer);

  [[nodiscard]] std::span<connection_state* const> all() const noexcept { return open_; }
  [[nodiscard]] core& home() const noexcept { return home_; }

  void when_parked(parking p) { parking_ = std::move(p); }

  // Called with the peer of each connection that is freed.
  void when_freed(std::function<void(const peer_address&)> f) { freed_ = std::move(f); }

  // Cancels what every handler waits for; no socket lingers from now on.
  void cut() noexcept;

 private:
  friend class connection_state;
  void free(connection_state& c) noexcept;

  core& home_;
  std::vector<connection_state*> open_;
  parking parking_;
  std::function<void(const peer_address&)> freed_;
  bool cutting_ = false;
};

inline core& connection_state::home_core() const noexcept { return table_.home(); }

}  // namespace weir
