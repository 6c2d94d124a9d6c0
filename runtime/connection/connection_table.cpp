#include "weir/connection/detail/connection_table.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "weir/base/unique_fd.hpp"
#include "weir/connection/detail/migration.hpp"
#include "weir/connection/detail/unattended_wait.hpp"

namespace weir {

connection_table::connection_table(core& home) : home_(home) {
  home.driver().when_elsewhere(connection_state::park_elsewhere);
  home.keeps_frames([this] { destroy_handlers(); });
  home.shows(this);
}

void connection_table::cut() noexcept {
  home_.driver().assert_thread("connection_table::cut");
  cutting_ = true;
  for (connection_state* c : all()) c->cut();
}

void connection_table::destroy_handlers() noexcept {
  cutting_ = true;
  // What still waits is destroyed: each frame is first detached from what it waits for. All frames go before
  // the first state does, because a handler may hold other connections than its own.
  for (connection_state* c : all()) {
    if (c->handler_) c->note_cut();
    c->abandon();
    if (migration* const m = c->away(); m != nullptr) m->drop_answer();
    if (c->handler_) std::exchange(c->handler_, nullptr).destroy();
  }
}

connection_table::~connection_table() {
  home_.shows(nullptr);
  for (std::size_t i = slabs_.size(); i-- > 0;) {
    const state_slab& slab = *slabs_[i];  // with sanitizers it goes with its one state
    for (std::size_t at = 0; connection_state* const c = slab.first_from(at); ++at) {
      c->wait_no_more();
      if (c->phase_ != phase::ended) c->owes_ ? c->reset_at_once() : c->end_socket(ending::closed);
      c->home().unschedule(*c);
      c->held_ ? c->orphan() : free(*c);
    }
  }
  for (state_slab* slab : slabs_) slab->leave_to_orphans();
}

state_slab& connection_table::slab_with_room() {
  for (; first_with_room_ < slabs_.size(); ++first_with_room_)
    if (!slabs_[first_with_room_]->is_full()) return *slabs_[first_with_room_];
  if (slabs_.size() == slabs_.capacity()) slabs_.reserve(2 * slabs_.size() + 4);
  return *slabs_.emplace_back(&state_slab::make(*this, static_cast<std::uint32_t>(slabs_.size())));
}

connection_state& connection_table::open(int fd, const peer_address& peer) {
  home_.driver().assert_thread("connection_table::open");
  unique_fd guard(fd);
  kept_peer kept(peer);
  void* const memory = slab_with_room().take();
  ++count_;
  return *new (memory) connection_state(*this, guard.release(), std::move(kept));
}

void connection_table::free(connection_state& c) noexcept {
  c.leave_table();
  state_slab& slab = state_slab::of(c);
  slab.give_back(c);
  --count_;
  first_with_room_ = std::min(first_with_room_, std::size_t{slab.place});
  if constexpr (!build::pools) {
    slabs_[slab.place] = slabs_.back();
    slabs_[slab.place]->place = slab.place;
    slabs_.pop_back();
    slab.leave_to_orphans();
  }
}

}  // namespace weir
