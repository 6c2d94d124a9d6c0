#include "weir/io/detail/completion_driver.hpp"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "ring.hpp"
#include "weir/base/detail/system_call.hpp"
#include "weir/base/error.hpp"
#include "weir/task/detail/block_pool.hpp"

namespace weir::io {
namespace {

// Completions of no descriptor.
constexpr std::uint64_t to_nobody = 0;
constexpr std::uint64_t to_asio = 1;
constexpr std::uint64_t to_bell = 2;

constexpr std::uint64_t flight_bits = 15;
constexpr unsigned everything = 31;

constexpr unsigned bit(unsigned flight) noexcept { return 1U << flight; }

// While buffers could not be lent for want of memory.
constexpr long starved_microseconds = 10'000;

}  // namespace

// What the ring does for one descriptor. Its address, with a flight in the low bits, is the cookie of
// completions.
struct alignas(16) completion_driver::entry {
  descriptor* on;
  chunk_block* first = nullptr;  // bytes that no operation has taken
  chunk_block** last = &first;
  std::uint32_t taken_of_first = 0;
  std::uint32_t held = 0;   // blocks
  unsigned in_flight = 0;   // a bit for each flight
  bool ahead = false;       // the receive in flight goes on by itself
  bool cancelling = false;  // that one is being ended
  bool on_demand = false;   // because the operations do not keep up
  bool hung_up = false;     // the peer sends no more
  bool sent = false;        // there is an answer of a send
  bool ended = false;       // there is no more to receive: `error`, and then 0
  bool starved = false;
  int error = 0;
  int answer = 0;
  entry* next_starved = nullptr;
};

struct completion_driver::opened {
  explicit opened(completion_driver& d)
      : bell(made(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")), driver(d) {
    spilled.reserve(ring::completions);
  }

  // Memory for buffers is taken when something is first received.
  lent_buffers& lend() {
    if (!buffers) buffers.emplace(all, driver.ring_.buffers, driver.chunks());
    return *buffers;
  }

  ring all;
  unique_fd bell;
  completion_driver& driver;
  std::optional<lent_buffers> buffers;
  std::vector<io_uring_cqe> spilled;  // of other descriptors, while one was waited for
  bool asio_armed = false;
  bool bell_armed = false;
};

completion_driver::completion_driver(asio::io_context& context, bounds limits, ring_bounds ring,
                                     chunk_pool& chunks)
    : driver(context, limits, chunks, false), ring_(ring) {}

completion_driver::~completion_driver() {
  close_asio();
  for (entry* const e : entries_) {
    if (e == nullptr) continue;
    drop_input(*e);
    block_pool::deallocate(e, sizeof *e);
  }
}

void completion_driver::open() {
  if (ring_state_ != nullptr) return;
  auto all = std::make_unique<opened>(*this);
  open_asio();
  ring_state_ = std::move(all);
  thread_ = ::pthread_self();
  driver::opened();
}

// Any thread.
void completion_driver::ring_bell() noexcept {
  const std::uint64_t one = 1;
  while (::write(ring_state_->bell.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

bool completion_driver::is_mine() const noexcept { return ::pthread_equal(thread_, ::pthread_self()) != 0; }

completion_driver::entry* completion_driver::find(const descriptor& on) const noexcept {
  const auto at = static_cast<std::size_t>(on.fd);
  if (on.fd < 0 || at >= entries_.size() || entries_[at] == nullptr || entries_[at]->on != &on)
    return nullptr;
  return entries_[at];
}

// Null without memory.
completion_driver::entry* completion_driver::find_or_make(descriptor& on) noexcept {
  if (entry* const e = find(on); e != nullptr) [[likely]]
    return e;
  try {
    open();
    const auto at = static_cast<std::size_t>(on.fd);
    if (at >= entries_.size()) entries_.resize(std::max(at + 1, 2 * entries_.size()));
    entry*& e = entries_[at];
    if (e == nullptr) {
      e = new (block_pool::allocate(sizeof(entry))) entry{.on = &on};
    } else {  // of a descriptor that has gone elsewhere
      drain(*e, everything);
      drop_input(*e);
      *e = entry{.on = &on};
    }
    e->last = &e->first;
    return e;
  } catch (...) {
    return nullptr;
  }
}

void completion_driver::drop_input(entry& e) noexcept {
  while (e.first != nullptr) chunk_block::release(std::exchange(e.first, e.first->next));
  e.last = &e.first;
  e.held = 0;
  e.taken_of_first = 0;
}

void completion_driver::watch(descriptor& on, descriptor::watch what) noexcept {
  assert_thread("watching a descriptor");
  const bool to_write = what == descriptor::watch::both;
  operation& op = *(to_write ? on.writing : on.reading);
  if (op.kind->begin != nullptr) return op.kind->begin(op);
  if (op.kind->completed != nullptr) {
    op.kind = op.kind->completed;
    // Whether anything has come is looked at now: see look().
    if (!to_write && on.reads_until_eagain) return op.root->schedule();
    return op.kind->begin(op);
  }
  const int error = poll_once(on, to_write ? polling_room : polling_input);
  if (error == 0) return;
  (to_write ? on.writing : on.reading) = nullptr;
  op.root->wait_failed(op, error);
}

int completion_driver::poll_once(descriptor& on, flight what) noexcept {
  entry* const e = find_or_make(on);
  if (e == nullptr) return ENOMEM;
  if ((e->in_flight & bit(what)) != 0) return 0;
  e->in_flight |= bit(what);
  io_uring_sqe& s =
      ring_state_->all.next(IORING_OP_POLL_ADD, on.fd, reinterpret_cast<std::uintptr_t>(e) | what);
  s.poll32_events = what == polling_room ? POLLOUT : POLLIN | POLLRDHUP;
  return 0;
}

int completion_driver::arm_once(descriptor& on, bool for_reading) noexcept {
  assert_thread("arming a descriptor");
  return poll_once(on, for_reading ? polling_input : polling_room);
}

void completion_driver::disarm(descriptor& on) noexcept {
  if (entry* const e = find(on); e != nullptr && e->in_flight != 0) drain(*e, everything);
}

void completion_driver::forget(descriptor& on) noexcept {
  // A thread that has another loop has a descriptor that was disarmed here.
  if (const run_queue* const here = run_queue::current(); here != nullptr && here != this) return;
  entry* const e = find(on);
  if (e == nullptr) return;
  drain(*e, everything);
  drop_input(*e);
  for (entry** at = &starved_; *at != nullptr; at = &(*at)->next_starved)
    if (*at == e) {
      *at = e->next_starved;
      break;
    }
  entries_[static_cast<std::size_t>(on.fd)] = nullptr;
  block_pool::deallocate(e, sizeof *e);
}

bool completion_driver::stop_reading_ahead(descriptor& on) noexcept {
  entry* const e = find(on);
  if (e == nullptr) return false;
  drain(*e, bit(receiving));
  return e->first != nullptr;
}

bool completion_driver::holds_input(const descriptor& on) const noexcept {
  const entry* const e = find(on);
  return e != nullptr && e->first != nullptr;
}

// --- what operations ask for ---

long completion_driver::receive(descriptor& on, chunk_block*& into) noexcept {
  entry* const e = find(on);
  if (e == nullptr) return on.fd < 0 ? -EBADF : -EAGAIN;
  if (e->first == nullptr && on.reads_until_eagain) look(*e);
  chunk_block* const block = e->first;
  if (block == nullptr) {
    if (!e->ended) return -EAGAIN;
    return -std::exchange(e->error, 0);
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
  if ((e->in_flight & bit(receiving)) == 0) arm_receive(*e);
}

long completion_driver::send(descriptor& on, const void* from, std::size_t size, int flags) noexcept {
  if (on.fd < 0) return -EBADF;
  entry* const e = find_or_make(on);
  if (e == nullptr) return -ENOMEM;
  if ((e->in_flight & bit(sending)) != 0) return -EAGAIN;
  if (std::exchange(e->sent, false)) return e->answer;
  e->in_flight |= bit(sending);
  io_uring_sqe& s =
      ring_state_->all.next(IORING_OP_SEND, on.fd, reinterpret_cast<std::uintptr_t>(e) | sending);
  s.addr = reinterpret_cast<std::uintptr_t>(from);
  s.len = static_cast<std::uint32_t>(size);
  s.msg_flags = static_cast<std::uint32_t>(MSG_NOSIGNAL | flags);
  return -EAGAIN;
}

long completion_driver::end_send(descriptor& on) noexcept {
  entry* const e = find(on);
  if (e == nullptr) return -ECANCELED;
  drain(*e, bit(sending));
  return std::exchange(e->sent, false) ? e->answer : -ECANCELED;
}

void completion_driver::arm_receive(entry& e) noexcept {
  opened& o = *ring_state_;
  bool lent = false;
  try {
    lent_buffers& buffers = o.lend();
    lent = !buffers.all_taken() || buffers.refill() || !buffers.all_taken();
  } catch (...) {
  }
  if (!lent) {
    if (!std::exchange(e.starved, true)) e.next_starved = std::exchange(starved_, &e);
    return;
  }
  e.in_flight |= bit(receiving);
  e.ahead = !e.on_demand;
  e.cancelling = false;
  io_uring_sqe& s = o.all.next(IORING_OP_RECV, e.on->fd, reinterpret_cast<std::uintptr_t>(&e) | receiving);
  s.flags = IOSQE_BUFFER_SELECT;
  if (!e.ahead) return;
  s.ioprio = IORING_RECV_MULTISHOT;
  // A receive that goes on by itself misses the end where bytes and FIN have come at once (seen on
  // Linux 6.18): the end is waited for beside it.
  if ((e.in_flight & bit(polling_end)) != 0) return;
  e.in_flight |= bit(polling_end);
  o.all.next(IORING_OP_POLL_ADD, e.on->fd, reinterpret_cast<std::uintptr_t>(&e) | polling_end).poll32_events =
      POLLRDHUP;
}

// --- ends ---

void completion_driver::cancel_flight(entry& e, flight what) noexcept {
  io_uring_sqe& s = ring_state_->all.next(IORING_OP_ASYNC_CANCEL, -1, to_nobody);
  s.addr = reinterpret_cast<std::uintptr_t>(&e) | what;
  s.flags = IOSQE_CQE_SKIP_SUCCESS;
}

// Ends what is in flight for `e`, and waits for its completions; those of others stay for the next batch.
void completion_driver::drain(entry& e, unsigned what) noexcept {
  if ((e.in_flight & what) == 0) return;
  // The kernel has dropped the requests of a thread that has ended.
  if (!is_mine()) {
    e.in_flight &= ~what;
    return;
  }
  opened& o = *ring_state_;
  reap(e);
  while ((e.in_flight & what) != 0) {
    for (const flight each : {receiving, sending, polling_input, polling_room, polling_end})
      if ((e.in_flight & what & bit(each)) != 0) cancel_flight(e, each);
    // A request that was about to run when it should have been cancelled runs now, and is cancelled next
    // time.
    o.all.enter(0);
    reap(e);
    if ((e.in_flight & what) != 0 && o.all.is_full())
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
    block->next = nullptr;
    *e.last = block;
    e.last = &block->next;
    ++e.held;
    return;
  }
  chunk_block::release(block);
  if (n == -EAGAIN || n == -EINTR) return;
  e.ended = true;
  e.error = static_cast<int>(-n);
}

// --- completions ---

// What a completion says, without resuming anything.
void completion_driver::note(entry& e, flight what, int result, std::uint32_t flags) noexcept {
  if (what != receiving) {
    e.in_flight &= ~bit(what);
    if (what == sending) {
      e.sent = true;
      e.answer = result;
    } else if (what == polling_end && result > 0) {
      e.hung_up = e.on_demand = true;
    }
    return;
  }
  if ((flags & IORING_CQE_F_MORE) == 0) {
    e.in_flight &= ~bit(receiving);
    e.cancelling = false;
    // A receive on demand that has emptied the socket: the operations keep up again.
    if (!e.ahead && (flags & IORING_CQE_F_SOCK_NONEMPTY) == 0) e.on_demand = e.hung_up;
  }
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    chunk_block* const block = ring_state_->buffers->take(flags >> IORING_CQE_BUFFER_SHIFT);
    if (result > 0) {
      block->size = static_cast<std::size_t>(result);
      block->next = nullptr;
      *e.last = block;
      e.last = &block->next;
      if (++e.held > ring_.read_ahead) e.on_demand = true;
      return;
    }
    chunk_block::release(block);
  }
  if (result > 0 || result == -ENOBUFS || result == -ECANCELED || result == -EINTR || result == -EAGAIN)
    return;
  e.ended = true;
  e.error = -result;
}

void completion_driver::complete(std::uint64_t cookie, int result, std::uint32_t flags) {
  auto* const e = reinterpret_cast<entry*>(cookie & ~flight_bits);
  if (e == nullptr) [[unlikely]] {
    if (cookie == to_asio) {
      ring_state_->asio_armed = false;
      asio_ready_.readable = true;
    } else if (cookie == to_bell) {
      ring_state_->bell_armed = (flags & IORING_CQE_F_MORE) != 0;
    }
    return;
  }
  const auto what = static_cast<flight>(cookie & flight_bits);
  descriptor& d = *e->on;
  note(*e, what, result, flags);
  if (e->on_demand && e->ahead && (e->in_flight & bit(receiving)) != 0 && !std::exchange(e->cancelling, true))
      [[unlikely]]
    cancel_flight(*e, receiving);
  operation* op = nullptr;
  switch (what) {
    case receiving: d.writable = alone_ && (e->in_flight & bit(sending)) == 0; [[fallthrough]];
    case polling_input: op = d.reading; break;
    case sending:
    case polling_room: op = d.writing; break;
    case polling_end: break;
  }
  // Resuming may destroy `d`, and `e` with it.
  if (op != nullptr) [[likely]]
    give_turn(*op);
}

void completion_driver::refill() noexcept {
  opened& o = *ring_state_;
  o.buffers->refill();
  if (starved_ == nullptr || o.buffers->all_taken()) return;
  for (entry* e = std::exchange(starved_, nullptr); e != nullptr;) {
    entry& each = *e;
    e = std::exchange(each.next_starved, nullptr);
    each.starved = false;
    if (each.on->reading != nullptr && (each.in_flight & bit(receiving)) == 0) arm_receive(each);
  }
}

std::size_t completion_driver::poll(long microseconds) {
  opened& o = *ring_state_;
  if (o.buffers && !o.buffers->is_complete()) refill();
  if (!std::exchange(o.asio_armed, true)) [[unlikely]]
    o.all.next(IORING_OP_POLL_ADD, asio_descriptor(), to_asio).poll32_events = POLLIN;
  if (!std::exchange(o.bell_armed, true)) [[unlikely]] {
    io_uring_sqe& s = o.all.next(IORING_OP_POLL_ADD, o.bell.get(), to_bell);
    s.poll32_events = POLLIN;
    s.len = IORING_POLL_ADD_MULTI;
  }
  const bool waits =
      microseconds != 0 && queue_.empty() && o.spilled.empty() && o.all.head() == o.all.tail() && may_sleep();
  if (starved_ != nullptr) [[unlikely]]
    microseconds = microseconds < 0 ? starved_microseconds : std::min(microseconds, starved_microseconds);
  if (waits && microseconds > 0) [[unlikely]]
    o.all.enter_for(1, microseconds);
  else if (waits || o.all.unsubmitted() != 0 || o.all.has_work())
    o.all.enter(waits ? 1 : 0);
  is_awake();
  begin_batch();
  const auto most = static_cast<unsigned>(bounds_.events);
  const unsigned n = std::min(o.all.tail() - o.all.head(), most);
  if (n == 0 && o.spilled.empty()) return 0;
  has_progressed();
  alone_ = n == 1 && o.spilled.empty();
  if (!o.spilled.empty()) [[unlikely]] {
    for (std::size_t i = 0; i < o.spilled.size();
         ++i) {  // completing one may spill others, and take out others
      const io_uring_cqe c = o.spilled[i];
      o.spilled[i].user_data = to_nobody;
      complete(c.user_data, c.res, c.flags);
    }
    o.spilled.clear();
  }
  for (unsigned i = 0; i < n; ++i) {
    const unsigned head = o.all.head();  // a completion may take others out
    if (head == o.all.tail()) break;
    const io_uring_cqe c = o.all.completion(head);
    o.all.advance_to(head + 1);
    complete(c.user_data, c.res, c.flags);
  }
  set_running(nullptr);
  return n;
}

}  // namespace weir::io
