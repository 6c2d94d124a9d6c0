#pragma once
// connection: the connections of one core.

#include <atomic>
#include <functional>
#include <vector>

#include "weir/connection/detail/connection_state.hpp"
#include "weir/connection/detail/departure.hpp"
#include "weir/connection/detail/state_slab.hpp"
#include "weir/core/core.hpp"

namespace weir {

// What becomes of connections that are parked. Called on the core's thread.
struct parking {
  enum class given : std::uint8_t { yes, not_now, never };

  // Another process takes a copy of the descriptor; when a server stops, and, with `at_once`, always.
  std::function<given(int fd)> give_away = {};
  bool at_once = false;
  // Bytes have come: starts a handler, or takes the socket away.
  std::function<void(connection_state&)> wake = {};
};

// Core-local: core.local<connection_table>().
// Thread: the core's. Lifetime: a connection whose handle outlives the table is closed and belongs to no core
// from then on.
class connection_table {
 public:
  explicit connection_table(core& home);
  connection_table(const connection_table&) = delete;
  connection_table& operator=(const connection_table&) = delete;
  ~connection_table();

  // A connection on `fd`, which it owns from then on. Errors: std::bad_alloc, and `fd` is closed.
  [[nodiscard]] connection_state& open(int fd, const peer_address& peer);

  [[nodiscard]] open_connections all() const noexcept { return {slabs_, count_}; }
  [[nodiscard]] core& home() const noexcept { return home_; }

  void when_parked(parking p) { parking_ = std::move(p); }

  // `what` outlives the table. Without it a server never leaves.
  void leaves_as(const departure_state& what) noexcept { leaves_ = &what; }
  // Any thread.
  [[nodiscard]] departure leaves() const noexcept {
    return leaves_ == nullptr ? departure::no : leaves_->load(std::memory_order_relaxed);
  }

  // Called with the peer of each connection that is freed; with none if it has not counted for its address.
  void when_freed(std::function<void(const peer_address&)> f) { freed_ = std::move(f); }

  // Cancels what every handler waits for; no socket lingers from now on.
  void cut() noexcept;

 private:
  friend class connection_state;
  friend class dump::inspection;
  friend class admin::survey;
  [[nodiscard]] state_slab& slab_with_room();
  void free(connection_state& c) noexcept;
  void destroy_handlers() noexcept;

  core& home_;
  std::vector<state_slab*> slabs_;
  std::size_t first_with_room_ = 0;  // those before it are full
  std::size_t count_ = 0;
  permit_pool* permits_ = nullptr;  // whose permits the connections hold
  parking parking_;
  const departure_state* leaves_ = nullptr;
  std::function<void(const peer_address&)> freed_;
  std::atomic<bool> cutting_{false};  // read on the workers' threads
};

inline connection_table& connection_state::table() const noexcept { return state_slab::of(*this).table(); }

inline core& connection_state::home_core() const noexcept { return table().home(); }

}  // namespace weir
