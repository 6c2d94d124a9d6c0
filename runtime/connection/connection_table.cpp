#include "weir/connection/detail/connection_table.hpp"

#include <new>
#include <utility>

#include "weir/base/unique_fd.hpp"
#include "weir/connection/detail/migration.hpp"
#include "weir/connection/detail/unattended_wait.hpp"

namespace weir {

connection_table::connection_table(core& home) noexcept : home_(home) {
  home.driver().when_elsewhere(connection_state::park_elsewhere);
}

void connection_table::cut() noexcept {
  home_.driver().assert_thread("connection_table::cut");
  cutting_ = true;
  for (connection_state* c : open_) c->cut();
}

connection_table::~connection_table() {
  cutting_ = true;
  // What still waits is destroyed: each frame is first detached from what it waits for. All frames go before
  // the first state does, because a handler may hold other connections than its own.
  for (connection_state* c : open_) {
    if (c->handler_) c->note_cut();
    c->abandon();
    if (c->handler_) std::exchange(c->handler_, nullptr).destroy();
  }
  while (!open_.empty()) {
    connection_state& c = *open_.back();
    if (c.wait_ != nullptr) std::exchange(c.wait_, nullptr)->destroy();
    if (c.phase_ != phase::ended) c.owes_ ? c.reset_at_once() : c.end_socket(ending::closed);
    c.home().unschedule(c);
    if (c.held_)
      c.orphan();
    else
      free(c);
  }
}

connection_state& connection_table::open(int fd, const peer_address& peer) {
  home_.driver().assert_thread("connection_table::open");
  unique_fd guard(fd);
  if (open_.size() == open_.capacity()) open_.reserve(2 * open_.size() + 16);
  void* const memory = block_pool::allocate(sizeof(connection_state));
  auto* const c = new (memory) connection_state(*this, guard.release(), peer);
  open_.push_back(c);  // has room
  return *c;
}

void connection_table::forget(connection_state& c) noexcept {
  if (freed_ && c.permit_) freed_(c.peer_);
  open_.back()->place_ = c.place_;
  open_[c.place_] = open_.back();
  open_.pop_back();
}

void connection_table::free(connection_state& c) noexcept {
  forget(c);
  home_.timers().disarm(c);
  delete c.migration_;
  c.~connection_state();
  block_pool::deallocate(&c, sizeof c);
}

}  // namespace weir
