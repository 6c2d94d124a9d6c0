#include "weir/io/detail/completion_driver.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "completion_state.hpp"
#include "weir/base/error.hpp"

namespace weir::io {

completion_driver::completion_driver(asio::io_context& context, bounds limits, ring_bounds ring,
                                     chunk_pool& chunks)
    : driver(context, limits, chunks, false), ring_(ring) {}

completion_driver::~completion_driver() {
  close_asio();
  for (const auto& some : entries_)
    for (std::size_t i = 0; some != nullptr && i < entries_at_once; ++i) drop_input(some[i]);
}

void completion_driver::open() {
  if (ring_state_ != nullptr) return;
  auto all = std::make_unique<opened>(*this);
  open_asio();
  ring_state_ = std::move(all);
  driver::opened();
}

// Any thread.
void completion_driver::ring_bell() noexcept {
  const std::uint64_t one = 1;
  while (::write(ring_state_->bell.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

bool completion_driver::is_mine() const noexcept { return ring_state_->all.is_of_this_thread(); }

completion_driver::entry* completion_driver::find(const descriptor& on) const noexcept {
  const auto at = static_cast<std::size_t>(on.fd);
  if (on.fd < 0 || at / entries_at_once >= entries_.size()) return nullptr;
  entry* const some = entries_[at / entries_at_once].get();
  if (some == nullptr || some[at % entries_at_once].on != &on) return nullptr;
  return &some[at % entries_at_once];
}

// Null without memory. The core's thread.
completion_driver::entry* completion_driver::find_or_make(descriptor& on) noexcept {
  entry* const e = find(on);
  return e != nullptr ? e : make(on);
}

[[gnu::cold]] completion_driver::entry* completion_driver::make(descriptor& on) noexcept {
  try {
    open();
    const auto at = static_cast<std::size_t>(on.fd);
    if (at / entries_at_once >= entries_.size()) entries_.resize(at / entries_at_once + 1);
    auto& some = entries_[at / entries_at_once];
    if (some == nullptr) some = std::make_unique<entry[]>(entries_at_once);
    entry& e = some[at % entries_at_once];
    if (e.on != nullptr) end(e);  // of a descriptor that has gone elsewhere
    e.on = &on;
    return &e;
  } catch (...) {
    return nullptr;
  }
}

// Its descriptor has nothing here any more.
void completion_driver::end(entry& e) noexcept {
  drain(e, everything);
  drop_input(e);
  leave_room_set(e);
  e = entry{};
}

void completion_driver::drop_input(entry& e) noexcept {
  while (e.holds_input()) chunk_block::release(e.take_first());
  e.taken_of_first = 0;
}

// What waits asks for its bytes from here on.
void completion_driver::look_again(descriptor& on) noexcept {
  on.watched = descriptor::watch::none;
  if (on.reading != nullptr && on.reading->kind->completed != nullptr)
    on.reading->kind = on.reading->kind->completed;
}

void completion_driver::watch(descriptor& on, descriptor::watch what) noexcept {
  assert_thread("watching a descriptor");
  const bool to_write = what == descriptor::watch::both;
  operation& op = *(to_write ? on.writing : on.reading);
  if (!to_write && op.kind->completed != nullptr) {
    const operation_kind* const before = std::exchange(op.kind, op.kind->completed);
    // Whether anything has come is looked at now: see look().
    if (op.kind != before && on.reads_until_eagain) return op.root->schedule();
    return await_input(on);
  }
  const int error = poll_once(on, to_write ? polling_room : polling_input);
  if (error == 0) return;
  (to_write ? on.writing : on.reading) = nullptr;
  op.root->wait_failed(op, error);
}

int completion_driver::poll_once(descriptor& on, flight what) noexcept {
  entry* const e = find_or_make(on);
  if (e == nullptr) return ENOMEM;
  if (e->is_in_flight(bit(what)) || (what == polling_room && e->awaits_room)) return 0;
  e->begins(bit(what));
  io_uring_sqe& s = ring_state_->all.next(IORING_OP_POLL_ADD, on.fd, cookie_of(on, what));
  s.poll32_events = what == polling_room ? POLLOUT : POLLIN | POLLRDHUP;
  return 0;
}

int completion_driver::arm_once(descriptor& on, bool for_reading) noexcept {
  assert_thread("arming a descriptor");
  return poll_once(on, for_reading ? polling_input : polling_room);
}

void completion_driver::disarm(descriptor& on) noexcept {
  entry* const e = find(on);
  if (e == nullptr) return;
  assert_thread("forgetting a descriptor");
  drain(*e, everything);
  leave_room_set(*e);
  e->starved = false;
}

void completion_driver::forget(descriptor& on) noexcept {
  // A thread that has another loop has a descriptor that was disarmed here.
  if (const run_queue* const here = run_queue::current(); here != nullptr && here != this) return;
  if (entry* const e = find(on); e != nullptr) end(*e);
}

bool completion_driver::stop_reading_ahead(descriptor& on) noexcept {
  entry* const e = find(on);
  if (e == nullptr) return false;
  assert_thread("reading no further ahead");
  drain(*e, bit(receiving));
  return e->holds_input();
}

bool completion_driver::holds_input(const descriptor& on) const noexcept {
  const entry* const e = find(on);
  return e != nullptr && e->holds_input();
}

// What a completion says, without resuming anything.
void completion_driver::note(entry& e, flight what, int result, std::uint32_t flags) noexcept {
  if (what != receiving) {
    e.has_ended(bit(what));
    if (what == polling_end && result > 0) {
      e.hung_up = e.on_demand = true;
      look_again(*e.on);
    }
    return;
  }
  look_again(*e.on);
  if ((flags & IORING_CQE_F_MORE) == 0) {
    e.has_ended(bit(receiving));
    e.cancelling = false;
    // A receive on demand that has emptied the socket: the operations keep up again.
    if (!e.ahead && (flags & IORING_CQE_F_SOCK_NONEMPTY) == 0) e.on_demand = e.hung_up;
  }
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    chunk_block* const block = ring_state_->buffers->take(flags >> IORING_CQE_BUFFER_SHIFT);
    if (result > 0) {
      block->size = static_cast<std::size_t>(result);
      counted()[observe::figure::received_bytes].add(block->size);
      e.keep(block);
      if (e.held > ring_.read_ahead) e.on_demand = true;
      return;
    }
    chunk_block::release(block);
  }
  if (result > 0 || result == -ENOBUFS || result == -ECANCELED || result == -EINTR || result == -EAGAIN)
    return;
  e.ended = true;
  e.error = static_cast<std::uint16_t>(-result);
}

// What is most frequent; the rest is the same, one step after the other.
template <bool Recorded>
[[gnu::always_inline]] inline void completion_driver::complete(opened& o, const io_uring_cqe& c) {
  static_assert(IORING_CQE_F_BUFFER == 1 && IORING_CQE_F_MORE == 2 && receiving == 0);
  const std::uint64_t cookie = c.user_data;
  // A receive that has brought bytes and goes on: adding 1 clears both flags if both are there.
  if ((cookie & flight_bits) != 0 || ((c.flags + 1) & 3) != 0) [[unlikely]]
    return complete_any(c);
  const descriptor& d = *reinterpret_cast<const descriptor*>(cookie);
  operation* const op = d.reading;
  if (op == nullptr || d.watched != descriptor::watch::reads || cookie == last_turn_) [[unlikely]]
    return complete_any(c);
  last_turn_ = cookie;
  const std::size_t id = c.flags >> IORING_CQE_BUFFER_SHIFT;
  chunk_block* const block = o.buffers->lent(id);
  block->size = static_cast<std::uint32_t>(c.res);
  counted()[observe::figure::received_bytes].add(static_cast<std::uint32_t>(c.res));
  begin_turn_of<Recorded>(*op);
  op->kind->finish(*op, reinterpret_cast<std::uintptr_t>(block));
  // Most often the handler has given it back meanwhile.
  o.buffers->replace(id, block);  // which may be gone
}

[[gnu::noinline]] void completion_driver::complete_any(const io_uring_cqe& c) {
  const std::uint64_t cookie = c.user_data;
  const int result = c.res;
  const std::uint32_t flags = c.flags;
  if ((cookie & flight_bits) == of_no_descriptor) {
    if (cookie == to_asio) {
      ring_state_->asio_armed = false;
      asio_ready_.readable = true;
    } else if (cookie == to_bell) {
      ring_state_->bell_armed = (flags & IORING_CQE_F_MORE) != 0;
    } else if (cookie == to_room) {
      ring_state_->room_armed = false;
      take_room_set();
    }
    return;
  }
  descriptor& d = descriptor_of(cookie);
  entry* const e = find(d);
  const auto what = static_cast<flight>(cookie & flight_bits);
  note(*e, what, result, flags);
  if (e->on_demand && e->ahead && e->is_in_flight(bit(receiving)) && !e->cancelling) [[unlikely]] {
    e->cancelling = true;
    cancel_flight(*e, receiving);
  }
  operation* op = nullptr;
  switch (what) {
    case receiving:
    case polling_input: op = d.reading; break;
    case polling_room:
      op = d.writing;
      if (op != nullptr && result > 0 && (result & (POLLOUT | POLLERR | POLLHUP)) == 0) [[unlikely]] {
        const int error = await_room(*e);
        if (error == 0) return;
        d.writing = nullptr;
        return op->root->wait_failed(*op, error);
      }
      d.writable = true;
      break;
    case polling_end:
    case of_no_descriptor: break;
  }
  // A descriptor has one turn in a batch; for the rest of its bytes others have theirs in between. The
  // completions of one receive follow each other.
  if (what == receiving && (std::exchange(e->turn_in, turn()) == turn() || cookie == last_turn_))
      [[unlikely]] {
    if (op != nullptr) op->root->schedule();
    return;
  }
  // Resuming may destroy `d`, and `e` with it.
  if (op != nullptr) [[likely]]
    give_turn(*op);
}

void completion_driver::refill() noexcept {
  // Those that wait for buffers may have found none to be lent at all.
  if (!ring_state_->lend_more() || !std::exchange(starved_, false)) return;
  for (const auto& some : entries_)
    for (std::size_t i = 0; some != nullptr && i < entries_at_once; ++i) {
      entry& e = some[i];
      if (!e.starved) continue;
      e.starved = false;
      if (e.on->reading != nullptr && !e.is_in_flight(bit(receiving))) arm_receive(e);
    }
}

template <bool Recorded>
std::size_t completion_driver::poll(long microseconds) {
  opened& o = *ring_state_;
  if (starved_ || (o.buffers && !o.buffers->is_complete())) refill();
  if (!std::exchange(o.asio_armed, true)) [[unlikely]]
    o.all.next(IORING_OP_POLL_ADD, asio_descriptor(), to_asio).poll32_events = POLLIN;
  if (!std::exchange(o.bell_armed, true)) [[unlikely]] {
    io_uring_sqe& s = o.all.next(IORING_OP_POLL_ADD, o.bell.get(), to_bell);
    s.poll32_events = POLLIN;
    s.len = IORING_POLL_ADD_MULTI;
  }
  if (o.room_set && !std::exchange(o.room_armed, true)) [[unlikely]]
    o.all.next(IORING_OP_POLL_ADD, o.room_set.get(), to_room).poll32_events = POLLIN;
  const bool waits =
      microseconds != 0 && queue_.empty() && o.spilled.empty() && o.all.head() == o.all.tail() && may_sleep();
  if (starved_) [[unlikely]]
    microseconds = microseconds < 0 ? starved_microseconds : std::min(microseconds, starved_microseconds);
  end_turns<Recorded>(waits);
  if (waits && microseconds > 0) [[unlikely]]
    o.all.enter_for(1, microseconds);
  else if (waits || o.all.has_unsubmitted() || o.all.has_work())
    o.all.enter(waits ? 1 : 0);
  is_awake();
  begin_batch();
  const auto most = static_cast<unsigned>(bounds_.events);
  if (o.all.tail() == o.all.head() && o.spilled.empty()) return 0;
  has_progressed();
  // Completing one may spill others, and take out others.
  for (std::size_t i = 0; i < o.spilled.size(); ++i) {
    const io_uring_cqe c = o.spilled[i];
    o.spilled[i].user_data = to_nobody;
    complete_any(c);
  }
  o.spilled.clear();
  const unsigned head = o.all.head();
  const unsigned n = std::min(o.all.tail() - head, most);
  last_turn_ = to_nobody;
  batch_end_ = head + n;
  for (unsigned at = head; at != batch_end_;) {
    const io_uring_cqe& c = o.all.completion(at);
    not_taken_ = ++at;
    complete<Recorded>(o, c);
  }
  if (o.all.head() == head) o.all.advance_to(head + n);
  set_running(nullptr);
  return n;
}

// A registered ring is a number of the thread that registered it: there the kernel would refuse each call, or
// take it for another ring.
void completion_driver::run(long microseconds, asio_handlers& ready) {
  if (!is_mine()) [[unlikely]]
    throw_system_error(EPERM,
                       "a core over io_uring runs on the thread that opened it, and not on another one");
  run_in(*this, microseconds, ready);
}

}  // namespace weir::io
