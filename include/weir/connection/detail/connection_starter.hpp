#pragma once
// accept > distribute > [core] > connection
// connection: where an accepted socket arrives on its core and becomes a connection with a handler.

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "weir/admission/detail/address_limit.hpp"
#include "weir/connection/connection.hpp"
#include "weir/connection/connection_handler.hpp"
#include "weir/connection/detail/accepted_socket.hpp"
#include "weir/connection/detail/connection_table.hpp"
#include "weir/connection/detail/migration.hpp"
#include "weir/connection/detail/open_layers.hpp"
#include "weir/connection/detail/tls_support.hpp"
#include "weir/core/core.hpp"
#include "weir/core/detail/standing_post.hpp"

namespace weir {

class proxy_rules;

// Thread: its core's, unless said otherwise. Lifetime: outlives its core's run.
class connection_starter {
 public:
  connection_starter(core& home, const settings& s, const connection_handler& handler, permit_pool& all,
                     address_limit<peer_address>* per_address = nullptr,
                     const departure_state* leaves = nullptr, proxy_rules* proxied = nullptr,
                     present_source* tls = nullptr)
      : home_(home),
        table_(home.local<connection_table>()),
        handler_(handler),
        idle_timeout_(s.limits.idle_timeout),
        here_(UINT32_MAX, &all),
        per_address_(per_address),
        proxied_(proxied),
        tls_(tls),
        opening_timeout_(s.tls.handshake_timeout),
        most_openings_(s.tls.handshakes) {
    if (per_address_ != nullptr)
      table_.when_freed([this](const peer_address& a) { per_address_->release(a); });
    if (leaves != nullptr) table_.leaves_as(*leaves);
    give_parked_to({}, false);
  }

  // Before the first connection. Where the handlers run, if not here; how long a call may block, if it may.
  void run_handlers_on(worker_queue& at) noexcept { worker_queue_ = &at; }
  void block(std::chrono::milliseconds slice) noexcept { slice_ = slice; }
  // Before the first connection. What listens to connections, if anything does.
  void listen_by(tap_source* taps) noexcept { taps_ = taps; }
  connection_starter(const connection_starter&) = delete;
  connection_starter& operator=(const connection_starter&) = delete;

  // Before the first connection. `f` is called on the core's thread for each that is gone.
  void when_left(std::function<void()> f);

  // Before the first connection. The starter that serves a parked connection when bytes have come;
  // called on this core's thread. Default: this one.
  void place_parked_by(std::function<connection_starter&(const peer_address&)> f) { place_ = std::move(f); }
  // Before the first connection. The starter of a connection whose client a balancer has named is that one
  // too.
  void place_named_clients() noexcept { places_named_ = true; }
  // Before the first connection. Another process that takes parked connections: when this one stops, and with
  // `at_once` always.
  void give_parked_to(std::function<parking::given(int fd)> f, bool at_once);

  // Any thread. The socket counts for this core from now on, and its handler starts on the core's thread:
  // from the run queue if the caller is on it, else through a mailbox that wakes the core once per batch.
  // False: its address has as many as it may, and it was closed.
  bool deliver(accepted_socket s);

  // Any thread. Connections that were delivered from other threads and whose handlers have not begun.
  [[nodiscard]] std::uint32_t waiting() const noexcept { return waiting_; }
  // Any thread. Has the core look here, as a delivery does.
  void ask();
  // Any thread. The core has not looked here for 250 ms although something was delivered or asked: a handler
  // holds it up, or it waits for its CPU that long.
  [[nodiscard]] bool is_held() const noexcept;
  // Any thread. What waits is the caller's again: for enter() of another starter.
  [[nodiscard]] std::vector<accepted_socket> take_back();
  // As deliver(), for a connection that counts for its address already.
  void enter(accepted_socket s);

  // Any thread. For the connections that begin from now on.
  void set_idle_timeout(std::chrono::milliseconds t) noexcept { idle_timeout_ = t; }

  // Before the first connection. `f` is called on the core's thread when fewer wait.
  void when_taken_up(std::function<void()> f) { taken_up_ = std::move(f); }

  // Tells every handler that the server stops, those that arrive later too. Those that came less than
  // `grace` ago and whose first bytes have not come yet get that long. Where handlers run on other threads
  // all are told after `grace`: this thread may not look at what a worker holds. Again if it failed.
  void stop(std::chrono::milliseconds grace = {});

  // For open_layers_and_serve(); the thread of the handler. The client is known: it counts from now on.
  // False: its address has as many connections as it may.
  [[nodiscard]] bool admit(connection_state& c);
  // The same. True: another starter serves the connection, and `client` is closed.
  [[nodiscard]] bool has_moved(connection& client, socket_layers closed);
  // What TLS presents now; only where a listener has it.
  [[nodiscard]] present_source& tls() const noexcept { return *tls_; }
  [[nodiscard]] proxy_rules& proxied() const noexcept { return *proxied_; }
  [[nodiscard]] const connection_handler& handler() const noexcept { return handler_; }

  // Cancels what the handlers still wait for.
  void cancel() noexcept;

  // Any thread. Those that were closed at once because their address had as many as it may.
  [[nodiscard]] std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }

  // Any thread. Those whose handler could not be started.
  [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }

  // Any thread: connections that are, or are about to be, on this core.
  [[nodiscard]] std::uint32_t load() const noexcept { return here_.in_use(); }

  [[nodiscard]] core& home() const noexcept { return home_; }

 private:
  friend opening_place;
  void start(accepted_socket s) noexcept;
  void serve(accepted_socket s) noexcept;
  void start_waiting() noexcept;
  [[nodiscard]] task<> open(connection client, socket_layers layers);
  void is_lost(const accepted_socket& s) noexcept;
  void note_post() noexcept;
  void wake(connection_state& parked) noexcept;
  void has_dropped(const peer_address& peer) noexcept;
  void empty_mailbox() noexcept;
  task<> limit_grace();
  void tell_all() noexcept;
  void listen_to(accepted_socket& s);

  core& home_;
  connection_table& table_;
  const connection_handler& handler_;
  std::atomic<std::chrono::milliseconds> idle_timeout_;
  permit_pool here_;
  address_limit<peer_address>* per_address_;
  proxy_rules* proxied_;
  bool places_named_ = false;
  present_source* tls_;  // null: no listener has TLS
  std::chrono::milliseconds opening_timeout_;
  std::uint32_t most_openings_;
  std::atomic<std::uint32_t> openings_{0};  // handshakes that are under way
  struct waiting_socket {
    accepted_socket socket;
    std::int64_t since;  // milliseconds of the steady clock
  };
  std::atomic<std::uint32_t> waiting_to_open_{0};
  std::deque<waiting_socket> to_open_;  // the core's thread: for which there is no place yet
  worker_queue* worker_queue_ = nullptr;
  std::chrono::milliseconds slice_{0};
  std::function<void()> left_;
  std::function<connection_starter&(const peer_address&)> place_;
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> dropped_{0};
  tap_source* taps_ = nullptr;
  bool stopping_ = false;
  bool tells_later_ = false;  // limit_grace() is on its way
  std::chrono::milliseconds grace_{0};
  std::function<void()> taken_up_;
  std::atomic<std::uint32_t> waiting_{0};
  std::mutex mutex_;
  std::vector<accepted_socket> mailbox_;
  std::vector<accepted_socket>
      arrived_;  // empty, with room: the core's thread takes what is in the mailbox for it
  std::atomic<std::int64_t> posted_at_{0};  // milliseconds of the steady clock; 0: the core is not told
  standing_post arrivals_{home_, [this] { empty_mailbox(); }};
  standing_post place_freed_{home_, [this] { start_waiting(); }};
};

}  // namespace weir
