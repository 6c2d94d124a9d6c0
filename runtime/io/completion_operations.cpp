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

inline void completion_driver::submit_send(entry& e, const void* from, std::size_t size, int flags) noexcept {
  e.begins(bit(sending));
  io_uring_sqe& s =
      ring_state_->all.next(IORING_OP_SEND, e.on->fd, reinterpret_cast<std::uintptr_t>(&e) | sending);
  s.addr = reinterpret_cast<std::uintptr_t>(from);
  s.len = static_cast<std::uint32_t>(size);
  s.msg_flags = static_cast<std::uint32_t>(MSG_NOSIGNAL | flags);
}

long completion_driver::receive(descriptor& on, chunk_block*& into) noexcept {
  entry* const e = find(on);
  if (e == nullptr) return on.fd < 0 ? -EBADF : -EAGAIN;
  if (e->first == nullptr && on.reads_until_eagain) look(*e);
  chunk_block* const block = e->first;
  if (block == nullptr) {
    if (!e->ended) return -EAGAIN;
    return -long{std::exchange(e->error, std::uint16_t{0})};
  }
  e->first = block->next;
  if (e->first == nullptr) e->last = &e->first;
  --e->held;
  if (const std::uint32_t gone = std::exchange(e->taken_of_first, 0U); gone != 0) {
    block->size -= gone;
    std::memmove(block->data(), block->data() + gone, block->size);
  }
  into = block;
  return static_cast<long>(block->size);
}

long completion_driver::recv(descriptor& on, void* into, std::size_t size) noexcept {
  entry* const e = find(on);
  if (e == nullptr || e->first == nullptr) {
    chunk_block* block = nullptr;
    if (const long n = receive(on, block); n <= 0) return n;
    // Bytes that look() has found: they are the first again.
    entry& now = *find(on);
    block->next = now.first;
    now.first = block;
    if (block->next == nullptr) now.last = &block->next;
    ++now.held;
    return recv(on, into, size);
  }
  chunk_block* const block = e->first;
  const std::size_t n = std::min(size, block->size - e->taken_of_first);
  std::memcpy(into, block->data() + e->taken_of_first, n);
  e->taken_of_first += static_cast<std::uint32_t>(n);
  if (e->taken_of_first == block->size) {
    e->first = block->next;
    if (e->first == nullptr) e->last = &e->first;
    --e->held;
    e->taken_of_first = 0;
    chunk_block::release(block);
  }
  return static_cast<long>(n);
}

void completion_driver::await_input(descriptor& on) noexcept {
  entry* const e = find_or_make(on);
  if (e == nullptr) {
    operation& op = *std::exchange(on.reading, nullptr);
    return op.root->wait_failed(op, ENOMEM);
  }
  if (e->first != nullptr || e->ended) return on.reading->root->schedule();
  if (!e->is_in_flight(bit(receiving))) arm_receive(*e);
}

long completion_driver::send(descriptor& on, const void* from, std::size_t size, int flags) noexcept {
  if (on.fd < 0) return -EBADF;
  entry* const e = find_or_make(on);
  if (e == nullptr) return -ENOMEM;
  if (e->is_in_flight(bit(sending))) return -EAGAIN;
  if (std::exchange(e->sent, false)) return e->answer;
  submit_send(*e, from, size, flags);
  return -EAGAIN;
}

void completion_driver::begin_send(descriptor& on, const void* from, std::size_t size) noexcept {
  entry& e = *recent_;
  if (e.on == &on && !e.sends()) [[likely]]
    return submit_send(e, from, size, 0);
  begin_any_send(on, from, size);
}

[[gnu::noinline]] void completion_driver::begin_any_send(descriptor& on, const void* from,
                                                         std::size_t size) noexcept {
  entry* const any = on.fd < 0 ? nullptr : find_or_make(on);
  // What can be answered at once is answered in the next turn.
  if (any == nullptr || any->sent) return on.writing->root->schedule();
  if (!any->sends()) submit_send(*any, from, size, 0);
}

void completion_driver::take_held(descriptor& on, std::string& into) {
  entry* const e = find(on);
  if (e == nullptr || e->first == nullptr) return;
  std::size_t size = 0;
  for (const chunk_block* b = e->first; b != nullptr; b = b->next) size += b->size;
  into.reserve(into.size() + size - e->taken_of_first);
  for (chunk_block* b = e->first; b != nullptr; b = b->next) {
    const std::size_t gone = std::exchange(e->taken_of_first, 0U);
    into.append(reinterpret_cast<const char*>(b->data()) + gone, b->size - gone);
  }
  drop_input(*e);
}

void completion_driver::keep_received(descriptor& on, chunk_block* block) noexcept { find(on)->keep(block); }

void completion_driver::keep_sent(descriptor& on, long n) noexcept {
  entry& e = *find(on);
  e.sent = true;
  e.answer = static_cast<int>(n);
}

long completion_driver::end_send(descriptor& on) noexcept {
  entry* const e = find(on);
  if (e == nullptr) return -ECANCELED;
  drain(*e, bit(sending));
  return std::exchange(e->sent, false) ? e->answer : -ECANCELED;
}

void completion_driver::arm_receive(entry& e) noexcept {
  opened& o = *ring_state_;
  if ((!o.buffers || o.buffers->all_taken()) && !o.lend_more()) {
    if (!std::exchange(e.starved, true)) e.next_starved = std::exchange(starved_, &e);
    return;
  }
  e.begins(bit(receiving));
  e.ahead = !e.on_demand;
  e.cancelling = false;
  io_uring_sqe& s = o.all.next(IORING_OP_RECV, e.on->fd, reinterpret_cast<std::uintptr_t>(&e) | receiving);
  s.flags = IOSQE_BUFFER_SELECT;
  if (!e.ahead) return;
  s.ioprio = IORING_RECV_MULTISHOT;
  // A receive that goes on by itself misses the end where bytes and FIN have come at once (seen on
  // Linux 6.18): the end is waited for beside it.
  if (e.is_in_flight(bit(polling_end))) return;
  e.begins(bit(polling_end));
  o.all.next(IORING_OP_POLL_ADD, e.on->fd, reinterpret_cast<std::uintptr_t>(&e) | polling_end).poll32_events =
      POLLRDHUP;
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
  if (!std::exchange(e.in_room_set, false)) return;
  e.awaits_room = false;
  epoll_event ignored{};
  ::epoll_ctl(ring_state_->room_set.get(), EPOLL_CTL_DEL, e.on->fd, &ignored);
}

// One at a time: what is resumed may forget others.
void completion_driver::take_room_set() {
  epoll_event ready{};
  while (::epoll_wait(ring_state_->room_set.get(), &ready, 1, 0) == 1) {
    auto& e = *static_cast<entry*>(ready.data.ptr);
    e.awaits_room = false;
    if (operation* const op = e.on->writing; op != nullptr) give_turn(*op);
  }
}

void completion_driver::cancel_flight(entry& e, flight what) noexcept {
  io_uring_sqe& s = ring_state_->all.next(IORING_OP_ASYNC_CANCEL, -1, to_nobody);
  s.addr = reinterpret_cast<std::uintptr_t>(&e) | what;
  s.flags = IOSQE_CQE_SKIP_SUCCESS;
}

// Ends what is in flight for `e`, and waits for its completions; those of others stay for the next batch.
void completion_driver::drain(entry& e, unsigned what) noexcept {
  // The kernel has dropped the requests of a thread that has ended.
  if (!is_mine()) {
    e.has_ended(what);
    return;
  }
  // Its descriptor may go elsewhere, and another one come to its place in memory.
  if (recent_ == &e) recent_ = &nobody;
  if (!e.is_in_flight(what)) return;
  opened& o = *ring_state_;
  reap(e);
  while (e.is_in_flight(what)) {
    for (const flight each : {receiving, sending, polling_input, polling_room, polling_end})
      if (e.is_in_flight(what & bit(each))) cancel_flight(e, each);
    // A request that was about to run when it should have been cancelled runs now, and is cancelled next
    // time.
    o.all.enter(0);
    reap(e);
    if (e.is_in_flight(what) && o.all.is_full())
      for (unsigned head = o.all.head(); head != o.all.tail(); o.all.advance_to(++head))
        o.spilled.push_back(o.all.completion(head));
  }
}

// Takes the completions of `e` out of their order.
void completion_driver::reap(entry& e) noexcept {
  const auto take = [&](io_uring_cqe& c) {
    if ((c.user_data & ~flight_bits) != reinterpret_cast<std::uintptr_t>(&e)) return;
    const auto what = static_cast<flight>(c.user_data & flight_bits);
    c.user_data = to_nobody;
    note(e, what, c.res, c.flags);
  };
  opened& o = *ring_state_;
  for (io_uring_cqe& c : o.spilled) take(c);
  for (unsigned at = o.all.head(); at != o.all.tail(); ++at) take(o.all.completion(at));
}

// An operation must know that nothing has come. What has, and has no completion yet, comes first.
void completion_driver::look(entry& e) noexcept {
  opened& o = *ring_state_;
  if (!is_mine()) return;
  o.all.enter(0);
  reap(e);
  if (e.first != nullptr || e.ended || e.on->fd < 0) return;
  chunk_block* const block = chunks().take();
  if (block == nullptr) return;
  const long n = system_call::recv(e.on->fd, block->data(), block->capacity);
  if (n > 0) {
    block->size = static_cast<std::size_t>(n);
    e.keep(block);
    return;
  }
  chunk_block::release(block);
  if (n == -EAGAIN || n == -EINTR) return;
  e.ended = true;
  e.error = static_cast<std::uint16_t>(-n);
}

}  // namespace weir::io
