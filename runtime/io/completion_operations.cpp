// What operations ask a completion_driver for, and how it ends.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "completion_state.hpp"
#include "weir/base/detail/system_call.hpp"

namespace weir::io {

long completion_driver::receive(descriptor& on, chunk_block*& into) noexcept {
  entry* const e = find(on);
  if (e == nullptr) return on.fd < 0 ? -EBADF : -EAGAIN;
  if (!e->holds_input() && on.reads_until_eagain) look(*e);
  if (!e->holds_input()) {
    if (!e->ended) return -EAGAIN;
    return -long{std::exchange(e->error, std::uint16_t{0})};
  }
  chunk_block* const block = e->take_first();
  if (const std::uint32_t gone = std::exchange(e->taken_of_first, 0U); gone != 0) {
    block->size -= gone;
    std::memmove(block->data(), block->data() + gone, block->size);
  }
  into = block;
  return static_cast<long>(block->size);
}

long completion_driver::recv(descriptor& on, void* into, std::size_t size) noexcept {
  entry* const e = find(on);
  if (e == nullptr || !e->holds_input()) {
    chunk_block* block = nullptr;
    if (const long n = receive(on, block); n <= 0) return n;
    find(on)->keep_first(block);  // what look() has found
    return recv(on, into, size);
  }
  chunk_block* const block = e->first();
  const std::size_t n = std::min(size, block->size - e->taken_of_first);
  std::memcpy(into, block->data() + e->taken_of_first, n);
  e->taken_of_first += static_cast<std::uint32_t>(n);
  if (e->taken_of_first == block->size) {
    e->taken_of_first = 0;
    chunk_block::release(e->take_first());
  }
  return static_cast<long>(n);
}

void completion_driver::await_input(descriptor& on) noexcept {
  entry* const e = find_or_make(on);
  if (e == nullptr) {
    operation& op = *std::exchange(on.reading, nullptr);
    return op.root->wait_failed(op, ENOMEM);
  }
  if (e->holds_input() || e->ended) return on.reading->root->schedule();
  if (!e->is_in_flight(bit(receiving))) arm_receive(*e);
  if (e->is_in_flight(bit(receiving)) && e->ahead && !e->on_demand && !on.reads_until_eagain)
    on.watched = descriptor::watch::reads;
}

void completion_driver::take_held(descriptor& on, std::string& into) {
  entry* const e = find(on);
  if (e == nullptr || !e->holds_input()) return;
  std::size_t size = 0;
  const chunk_block* each = e->last;
  do size += (each = each->next)->size;
  while (each != e->last);
  into.reserve(into.size() + size - e->taken_of_first);
  while (e->holds_input()) {
    chunk_block* const block = e->take_first();
    const std::size_t gone = std::exchange(e->taken_of_first, 0U);
    into.append(reinterpret_cast<const char*>(block->data()) + gone, block->size - gone);
    chunk_block::release(block);
  }
}

void completion_driver::keep_received(descriptor& on, chunk_block* block) noexcept {
  find(on)->keep(block);
  look_again(on);
}

void completion_driver::arm_receive(entry& e) noexcept {
  opened& o = *ring_state_;
  if ((!o.buffers || o.buffers->all_taken()) && !o.lend_more()) {
    e.starved = starved_ = true;
    return;
  }
  e.begins(bit(receiving));
  e.ahead = !e.on_demand;
  e.cancelling = false;
  io_uring_sqe& s = o.all.next(IORING_OP_RECV, e.on->fd, cookie_of(*e.on, receiving));
  s.flags = IOSQE_BUFFER_SELECT;
  if (!e.ahead) return;
  s.ioprio = IORING_RECV_MULTISHOT;
  // A receive that goes on by itself misses the end where bytes and FIN have come at once (seen on
  // Linux 6.18): the end is waited for beside it.
  if (e.is_in_flight(bit(polling_end))) return;
  e.begins(bit(polling_end));
  o.all.next(IORING_OP_POLL_ADD, e.on->fd, cookie_of(*e.on, polling_end)).poll32_events = POLLRDHUP;
}

// A poll of io_uring always ends when the peer has sent FIN, also one that waits for room, and would end
// again at once. An epoll set reports what it is asked for; the ring polls the set. 0, or an errno.
int completion_driver::await_room(entry& e) noexcept {
  opened& o = *ring_state_;
  if (!o.room_set) o.room_set.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!o.room_set) return errno;
  epoll_event how{};
  how.events = EPOLLOUT | EPOLLONESHOT;
  how.data.ptr = &e;
  if (::epoll_ctl(o.room_set.get(), e.in_room_set ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, e.on->fd, &how) != 0)
    return errno;
  e.in_room_set = e.awaits_room = true;
  return 0;
}

void completion_driver::leave_room_set(entry& e) noexcept {
  if (!e.in_room_set) return;
  e.in_room_set = e.awaits_room = false;
  epoll_event ignored{};
  ::epoll_ctl(ring_state_->room_set.get(), EPOLL_CTL_DEL, e.on->fd, &ignored);
}

// One at a time: what is resumed may forget others.
void completion_driver::take_room_set() {
  epoll_event ready{};
  while (::epoll_wait(ring_state_->room_set.get(), &ready, 1, 0) == 1) {
    auto& e = *static_cast<entry*>(ready.data.ptr);
    e.awaits_room = false;
    e.on->writable = true;
    if (operation* const op = e.on->writing; op != nullptr) give_turn(*op);
  }
}

void completion_driver::cancel_flight(entry& e, flight what) noexcept {
  io_uring_sqe& s = ring_state_->all.next(IORING_OP_ASYNC_CANCEL, -1, to_nobody);
  s.addr = cookie_of(*e.on, what);
  s.flags = IOSQE_CQE_SKIP_SUCCESS;
}

// Ends what is in flight for `e`, and waits for its completions; those of others stay for the next batch.
void completion_driver::drain(entry& e, unsigned what) noexcept {
  // The kernel has dropped the requests of a thread that has ended.
  if (!is_mine()) {
    if (e.is_in_flight(what & bit(receiving))) look_again(*e.on);
    e.has_ended(what);
    return;
  }
  if (!e.is_in_flight(what)) return;
  opened& o = *ring_state_;
  reap(e);
  while (e.is_in_flight(what)) {
    for (const flight each : {receiving, polling_input, polling_room, polling_end})
      if (e.is_in_flight(what & bit(each))) cancel_flight(e, each);
    // A request that was about to run when it should have been cancelled runs now, and is cancelled next
    // time.
    o.all.enter(0);
    reap(e);
    if (!e.is_in_flight(what) || !o.all.is_full()) continue;
    batch_end_ = not_taken_;  // the rest of the batch that is being taken is spilled as well
    for (; not_taken_ != o.all.tail(); ++not_taken_) o.spilled.push_back(o.all.completion(not_taken_));
    o.all.advance_to(not_taken_);
  }
}

// Takes the completions of `e` out of their order.
void completion_driver::reap(entry& e) noexcept {
  const auto take = [&](io_uring_cqe& c) {
    if ((c.user_data & ~flight_bits) != cookie_of(*e.on, 0)) return;
    const auto what = static_cast<flight>(c.user_data & flight_bits);
    c.user_data = to_nobody;
    note(e, what, c.res, c.flags);
  };
  opened& o = *ring_state_;
  for (io_uring_cqe& c : o.spilled) take(c);
  for (unsigned at = not_taken_; at != o.all.tail(); ++at) take(o.all.completion(at));
}

// An operation must know that nothing has come. What has, and has no completion yet, comes first.
void completion_driver::look(entry& e) noexcept {
  opened& o = *ring_state_;
  if (!is_mine()) return;
  o.all.enter(0);
  reap(e);
  if (e.holds_input() || e.ended || e.on->fd < 0) return;
  chunk_block* const block = chunks().take();
  if (block == nullptr) return;
  const long n = system_call::recv(e.on->fd, block->data(), block->capacity);
  if (n > 0) {
    block->size = static_cast<std::size_t>(n);
    counted()[observe::figure::received_bytes].add(block->size);
    e.keep(block);
    return;
  }
  chunk_block::release(block);
  if (n == -EAGAIN || n == -EINTR) return;
  e.ended = true;
  e.error = static_cast<std::uint16_t>(-n);
}

}  // namespace weir::io
