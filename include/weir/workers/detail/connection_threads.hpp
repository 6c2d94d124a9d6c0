#pragma once
// workers: a thread for each connection.

#include <atomic>
#include <chrono>
#include <csignal>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "weir/connection/detail/connection_starter.hpp"
#include "weir/core/core_pool.hpp"
#include "weir/core/detail/core_thread.hpp"
#include "weir/core/detail/standing_post.hpp"

namespace weir {

// Each connection is read, written and handled by a thread that has nothing else to do and waits in the
// system call. The thread's core gets an event loop only when its handler waits for something else, or has
// children. A few threads stay for the next connections.
// Thread: the acceptor's, unless said otherwise.
class connection_threads {
 public:
  // Sent to a thread to end a call that blocks it; while this object lives it has a handler that does
  // nothing.
  static constexpr int wake_up = SIGURG;

  connection_threads(const settings& s, std::vector<int> cpus, const connection_handler& handler,
                     permit_pool& all, address_limit<peer_address>* per_address, offload_pool& offload,
                     const departure_state* leaves = nullptr, proxy_rules* proxied = nullptr,
                     observe::process_ledger* ledger = nullptr, present_source* tls = nullptr);
  connection_threads(const connection_threads&) = delete;
  connection_threads& operator=(const connection_threads&) = delete;
  ~connection_threads();

  // Errors: std::system_error without a thread, std::bad_alloc; the connection is closed.
  void deliver(accepted_socket s);

  // Before the first connection. What listens to connections, if anything does.
  void listen_by(tap_source* taps) noexcept { taps_ = taps; }

  // Tells every handler that the server stops; cancels what they wait for. Again if one has not heard it.
  // `grace`: of those whose first bytes have not come yet, as of connection_starter::stop().
  void tell(std::chrono::milliseconds grace = {}) noexcept;
  void cancel() noexcept;

  // Any thread. For the connections that begin from now on.
  void set_idle_timeout(std::chrono::milliseconds t) noexcept;

  // Ends the threads, with what is left.
  void stop() noexcept;

  // Any thread.
  [[nodiscard]] std::uint64_t refused() const noexcept;
  [[nodiscard]] std::uint64_t dropped() const noexcept;
  [[nodiscard]] std::size_t threads() const noexcept;

 private:
  struct slot {
    slot(unsigned index, connection_threads& of);
    std::optional<connection_starter> at;  // outlives the core, whose connections refer to it
    core_thread thread;
    standing_post tell;
    standing_post cancel;
  };

  slot& free_slot();
  void left(slot& s);
  void own_work_ended(slot& s);
  void each(standing_post slot::* told) noexcept;

  settings settings_;
  std::vector<int> cpus_;
  const connection_handler& handler_;
  permit_pool& all_;
  address_limit<peer_address>* per_address_;
  present_source* tls_;
  offload_pool& offload_;
  const departure_state* leaves_;
  proxy_rules* proxied_;
  observe::process_ledger* ledger_;
  tap_source* taps_ = nullptr;
  std::atomic<std::chrono::milliseconds> grace_{std::chrono::milliseconds(0)};
  struct sigaction before_{};
  mutable std::mutex mutex_;
  std::vector<slot*> idle_;
  std::vector<slot*> resting_;  // without a thread
  std::deque<slot> slots_;      // last: a connection that dies with its core calls left()
};

}  // namespace weir
