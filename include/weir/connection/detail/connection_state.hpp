#pragma once
// connection: what a core keeps of one connection; the handle that users hold is `connection`.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "weir/admission/detail/permit_pool.hpp"
#include "weir/connection/detail/departure.hpp"
#include "weir/connection/detail/kept_peer.hpp"
#include "weir/connection/detail/moving_socket.hpp"
#include "weir/connection/detail/phase.hpp"
#include "weir/connection/ending.hpp"
#include "weir/io/detail/driver.hpp"
#include "weir/io/detail/timer_wheel.hpp"
#include "weir/listen/peer_address.hpp"
#include "weir/task/task.hpp"

namespace weir {

class connection_table;
class core;
class migration;
class parked_wait;
class unattended_wait;
class worker_queue;

// A socket in the event loop, the chain of the handler that serves it, and its timer: one block of memory for
// a connection. It lives until the handle is gone, the handler has ended and the socket is closed, and then
// until the batch of events that is being worked on is over.
//
// What happens to it is a connection_event; the table in runtime/connection/phases.cpp says what each event
// does in each phase. A combination that the table does not name ends the program in builds with checks.
// Thread: the one that holds it: its core's, or the worker on which its handler runs.
class connection_state final : public moving_socket, private io::timer, public chain {
 public:
  // In memory of the table's.
  connection_state(connection_table& table, int fd, kept_peer peer) noexcept;

  // A connection that belongs to no core and is closed: what a handle without a connection refers to.
  struct no_core_t {};
  static constexpr no_core_t no_core{};
  explicit connection_state(no_core_t) noexcept;

  // A handle exists from now on, and its holder uses the connection: it is connected, or bytes came for a
  // parked one.
  void begin() noexcept { call(connection_event::serve, "connection_state::begin"); }

  // Serves the connection with `handler`, from the run queue on, unless it has ended meanwhile: then the
  // handler finds the end. `permit` is held until the state is freed; the permits of a table are of one pool.
  void serve(task<> handler, permit_pool::permit permit) noexcept;

  // Before serve(). The handler, and what it does with this connection, runs on the threads behind `at`.
  // Errors: std::bad_alloc.
  void run_handler_on(worker_queue& at);

  // Before serve(). While the handler has no children, what waits for this connection blocks its thread, for
  // a slice of time after which other chains of the thread have their turn. Errors: std::system_error.
  void block(std::chrono::milliseconds slice);

  // The core's thread, which holds it: its handler goes on, after a worker_queue had no room.
  void go_on_in_reserved_place() noexcept;

  // The server stops: what has come is still read, and then, between messages, the end. A connection that is
  // younger than `grace` milliseconds and has not been heard yet is told, but its end comes only with
  // end_grace(): another process may be taking over, and its first request is on its way. Once.
  void stop(std::uint32_t grace = 0) noexcept;
  void end_grace() noexcept;
  [[nodiscard]] bool is_stopping() const noexcept { return stopping_.load(std::memory_order_relaxed); }
  // What will stop soon, or stops. Any thread.
  [[nodiscard]] departure leaves() const noexcept;

  // Cancels what the handler waits for. Unless that is the next message, the connection ends with RST.
  void cut() noexcept;

  // Closes. What waits for it finds the end. With unread input a close makes the kernel send RST, which
  // destroys the last reply on its way: then FIN goes out first, and the socket lingers. With output that is
  // owed it ends with RST, so that a broken answer does not look whole.
  void close() noexcept { call(connection_event::close, "connection::close"); }

  // Closes with RST; what was not delivered is dropped.
  void reset() noexcept { call(connection_event::reset, "connection::abort"); }

  // The handle is gone. May free the state: do not touch it afterwards.
  void drop() noexcept { call(connection_event::drop, "the end of a connection's handle"); }

  // The same, but the connection stays, for the handler that the table finds for it: from when the present
  // one has ended and bytes have come.
  void park() noexcept { call(connection_event::park, "connection::park"); }

  // Gives the socket away, as if it was closed, without closing it. -1 if there is none to give.
  [[nodiscard]] int release() noexcept;
  // The same. Bytes that no operation has taken are appended to `unread`. Errors: std::bad_alloc.
  [[nodiscard]] int release(std::string& unread);

  // No more input: what waits for bytes finds an end for the given reason. Output goes on.
  void end_input(ending why) noexcept;

  // Output that was promised will not be sent: a close ends with RST.
  void owe() noexcept { owes_ = true; }

  // Sending has failed. The kernel reports an error once: reading finds a plain end then.
  void lost(int error) noexcept { broken |= error != EPIPE && error != ENOMEM && error != ENOBUFS; }

  // Of a parked connection that is to go on elsewhere.
  [[nodiscard]] permit_pool::permit take_permit() noexcept;

  // Cuts the connection when an operation has waited that long without a byte moving. Zero: never; so is more
  // than 49 days.
  void set_idle_timeout(std::chrono::milliseconds t);

  // Its operations try again, or do not try before the thread that holds it is another one.
  void expect(bool ready) noexcept;
  // The driver does nothing for the socket any more.
  void leave_driver() noexcept;
  // This side sends no more.
  void shut_output() noexcept;

  [[nodiscard]] bool is_open() const noexcept { return phase_ != phase::ended && phase_ != phase::lingering; }
  [[nodiscard]] phase now_in() const noexcept { return phase_; }
  [[nodiscard]] io::chunk_pool& chunks() const noexcept { return driver->chunks(); }
  [[nodiscard]] peer_address peer() const noexcept { return peer_.get(); }
  // What lies between its socket and its handler; null for most. The thread that holds it.
  // Errors of the setters: std::bad_alloc, and nothing has changed.
  [[nodiscard]] connection_edge* edge() const noexcept { return peer_.edge(); }
  void set_edge(kept_edge e);
  [[nodiscard]] kept_edge take_edge() noexcept;
  // From now on its bytes go through the layer, which is that of its edge if there is one.
  void set_layer(std::unique_ptr<stream_layer> l);
  [[nodiscard]] stream_layer* layer() const noexcept { return layered_ ? edge()->layer.get() : nullptr; }
  void set_peer(const peer_address& client) { peer_.set(client); }
  [[nodiscard]] core& home_core() const noexcept;
  // Its core is gone, or it never had one.
  [[nodiscard]] bool is_orphan() const noexcept { return driver == nullptr; }
  // A handler or another task of this process has made it: it is in use, and no handler is its own.
  [[nodiscard]] bool is_outgoing() const noexcept {
    return !handler_ && (phase_ == phase::opening || phase_ == phase::serving);
  }

  // For workers/: where its handler is, if that is not its core; whether it is on its core; what happened
  // while another thread held it; whether the handler's wait was cut.
  [[nodiscard]] migration* away() const noexcept { return migrates_ ? aside_.away : nullptr; }
  [[nodiscard]] bool is_home() const noexcept;
  void take_pending_events() noexcept;
  void note_cut() noexcept;
  // The core's thread, which holds it: ends the wait if it has been idle for too long. True if so.
  bool end_if_idle(std::uint64_t now) noexcept;

  // The slot of the direction has become free: an outbox may wait for it.
  void output_free() noexcept;

  ending end = ending::none;
  // These two bytes are written by the thread that holds the connection only.
  bool broken : 1 = false;              // by the peer or the network, and sending was told
  bool awaits_first_bytes : 1 = false;  // although it is stopping
  bool output_wanted : 1 = false;       // by an outbox, when the present send has ended

 private:
  friend class connection_table;
  friend class dump::inspection;
  friend class admin::survey;
  friend class parked_wait;
  friend class unattended_wait;
  friend struct phase_table;

  void on(connection_event e) noexcept;
  void call(connection_event e, const char* method) noexcept {
    assert_thread(method);
    on(e);
  }
  // The thread that holds it. A connection without a core has no thread.
  void assert_thread(const char* method) const noexcept {
    if (driver != nullptr) driver->assert_thread(method);
  }

  // What the table calls. Each may end the life of the state only as its last act.
  void nothing() noexcept {}
  void begin_serving() noexcept;
  void check_idle() noexcept;
  void tell_stop() noexcept;
  void cancel_handler() noexcept { chain::cancel(); }
  void cut_handler() noexcept;
  void close_gracefully() noexcept;
  void close_at_once() noexcept;
  void reset_at_once() noexcept;
  void let_go_and_close() noexcept;
  void let_go() noexcept;
  void park_after_handler() noexcept;
  void give_up_socket() noexcept;
  void end_of_handler() noexcept;
  void linger_step() noexcept;
  void end_linger() noexcept;
  void cut_linger() noexcept;
  void wake_parked() noexcept;
  void check_idle_parked() noexcept;
  void close_parked() noexcept;
  void offer_again() noexcept;
  [[nodiscard]] bool begin_linger() noexcept;
  void begin_parking() noexcept;
  [[nodiscard]] bool give_away() noexcept;
  void wait_parked() noexcept;
  void end_socket(ending why) noexcept;
  void count_end() noexcept;
  void end_idle() noexcept;
  void free_if_unused() noexcept;
  void orphan() noexcept;
  void leave_table() noexcept;
  [[nodiscard]] connection_table& table() const noexcept;  // of one that is no orphan
  [[nodiscard]] unattended_wait*& lingering_wait() noexcept;
  [[nodiscard]] bool wait_unattended() noexcept;
  void wait_no_more() noexcept;
  [[nodiscard]] bool is_between_messages() const noexcept;
  [[nodiscard]] bool is_idle(std::uint64_t now) const noexcept;
  void set_blocking(bool) noexcept;
  void begin_layer() noexcept;
  [[nodiscard]] io::wait_mode mode_in_loop() const noexcept;
  static void park_elsewhere(io::descriptor& on, bool for_reading) noexcept;
  void children_changed(bool) noexcept override;
  void finished() noexcept override;
  [[nodiscard]] bool is_native_to(const run_queue& q) const noexcept override { return &q == driver; }
  void describe(char* text, std::size_t size) const noexcept override;
  void name_into(chain_name& name) const noexcept override;
  void turn() override;
  void log_failure() noexcept;

  bool held_ : 1 = true;  // a handle exists
  bool may_block_ : 1 = false;
  bool parks_ : 1 = false;  // when its handler has ended
  bool owes_ : 1 = false;
  bool has_permit_ : 1 = false;  // of the table's pool
  bool migrates_ : 1 = false;
  bool parked_wait_failed_ : 1 = false;
  bool layered_ : 1 = false;
  phase phase_ : 3 = phase::opening;
  std::atomic<bool> stopping_{false};
  std::uint32_t idle_timeout_ = 0;  // milliseconds
  std::coroutine_handle<task<>::promise_type> handler_;
  // What few connections have, and only one of them at a time, except that one that migrates may linger.
  union {
    migration* away;           // if it migrates
    unattended_wait* lingers;  // in that phase
    parked_wait* parked;       // in that phase
  } aside_{nullptr};
  kept_peer peer_;
};

}  // namespace weir
