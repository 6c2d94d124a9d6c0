#include "weir/connection/detail/connection_starter.hpp"

#include <chrono>
#include <exception>
#include <memory>
#include <utility>

#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/connection/detail/open_layers.hpp"

namespace weir {
namespace {

std::int64_t now_in_ms() noexcept {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace

void connection_starter::when_left(std::function<void()> f) {
  left_ = std::move(f);
  table_.when_freed([this](const peer_address& a) {
    if (per_address_ != nullptr) per_address_->release(a);
    left_();
  });
}

bool connection_starter::deliver(accepted_socket s) {
  // Behind a balancer the address is that of the balancer so far.
  const bool counts = per_address_ != nullptr && s.peer.is_ip() && !s.layers.proxy;
  if (counts && !per_address_->try_acquire(s.peer)) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    return false;  // and with it go the socket and its permit
  }
  enter(std::move(s));
  return true;
}

void connection_starter::enter(accepted_socket s) {
  s.permit = here_.acquire_from(std::move(s.permit));
  if (core::current() == &home_) return start(std::move(s));
  try {
    const std::lock_guard lock(mutex_);
    mailbox_.push_back(std::move(s));
    waiting_.fetch_add(1);
    note_post();
  } catch (...) {
    // The mailbox is as it was. `s` is still here, and lost.
    if (per_address_ != nullptr && s.peer.is_ip() && !s.layers.proxy) per_address_->release(s.peer);
    throw;
  }
  arrivals_.post();
}

// Within the mutex, before the core is told.
void connection_starter::note_post() noexcept {
  if (posted_at_ == 0) posted_at_ = now_in_ms();
}

void connection_starter::ask() {
  {
    const std::lock_guard lock(mutex_);
    note_post();
  }
  arrivals_.post();
}

bool connection_starter::is_held() const noexcept {
  const auto at = posted_at_.load();
  return at != 0 && now_in_ms() - at >= 250;
}

std::vector<accepted_socket> connection_starter::take_back() {
  std::vector<accepted_socket> out;
  {
    const std::lock_guard lock(mutex_);
    out.swap(mailbox_);
  }
  waiting_.fetch_sub(static_cast<std::uint32_t>(out.size()));
  for (auto& s : out) s.permit = here_.return_to_outer(std::move(s.permit));
  return out;
}

void connection_starter::give_parked_to(std::function<parking::given(int fd)> f, bool at_once) {
  table_.when_parked({std::move(f), at_once, [this](connection_state& c) { wake(c); }});
}

void connection_starter::wake(connection_state& parked) noexcept {
  try {
    // Bytes that this core has read already are served here.
    const bool stays = !place_ || parked.driver->holds_input(parked);
    connection_starter& next = stays ? *this : place_(parked.peer());
    if (&next == this) {
      parked.begin();
      task<> handler = handler_(connection(parked));
      return parked.serve(std::move(handler), parked.take_permit());
    }
    accepted_socket s{.fd = unique_fd(parked.release()),
                      .peer = parked.peer(),
                      .permit = here_.return_to_outer(parked.take_permit()),
                      .edge = parked.take_edge()};
    parked.drop();
    next.enter(std::move(s));
  } catch (...) {
    if (parked.now_in() == phase::parked) parked.cut();
    has_dropped(parked.peer());
  }
}

void connection_starter::empty_mailbox() noexcept {
  {
    const std::lock_guard lock(mutex_);
    arrived_.swap(mailbox_);
    posted_at_ = 0;
  }
  for (auto& s : arrived_) start(std::move(s));
  waiting_.fetch_sub(static_cast<std::uint32_t>(arrived_.size()));
  arrived_.clear();
  if (taken_up_) taken_up_();
}

void connection_starter::start(accepted_socket s) noexcept {
  if (!s.layers.tls || (openings_.load() < most_openings_ && to_open_.empty())) return serve(std::move(s));
  waiting_socket waiting{std::move(s), now_in_ms()};
  try {
    to_open_.push_back(std::move(waiting));
    waiting_to_open_.fetch_add(1);
  } catch (...) {
    is_lost(waiting.socket);
    has_dropped(waiting.socket.peer);
  }
  // Where the last place was freed before this one was known to wait, no other thread tells.
  if (openings_.load() < most_openings_) place_freed_.post();
}

void connection_starter::start_waiting() noexcept {
  while (!to_open_.empty() && openings_.load() < most_openings_) {
    waiting_socket next = std::move(to_open_.front());
    to_open_.pop_front();
    waiting_to_open_.fetch_sub(1);
    // Its time has been running since it came.
    if (now_in_ms() - next.since < opening_timeout_.count()) {
      serve(std::move(next.socket));
    } else {
      is_lost(next.socket);
      dropped_.fetch_add(1, std::memory_order_relaxed);
    }
  }
}

void opening_place::give_back() noexcept {
  if (of_ == nullptr) return;
  connection_starter& of = *std::exchange(of_, nullptr);
  of.openings_.fetch_sub(1);
  if (of.waiting_to_open_.load() != 0) of.place_freed_.post();
}

// It has no state that would tell of its end.
void connection_starter::is_lost(const accepted_socket& s) noexcept {
  if (per_address_ != nullptr && s.permit && !s.layers.proxy) per_address_->release(s.peer);
  if (left_ && s.permit) left_();
}

void connection_starter::serve(accepted_socket s) noexcept {
  try {
    connection_state& state = table_.open(s.fd.release(), s.peer);
    connection client(state);
    if (taps_ != nullptr) listen_to(s);
    if (s.layers.any() && !s.edge) s.edge = std::make_unique<connection_edge>();
    if (s.layers.proxy) s.edge->counts_later = true;
    if (s.edge) state.set_edge(std::move(s.edge));
    state.begin();
    if (worker_queue_ != nullptr) state.run_handler_on(*worker_queue_);
    if (slice_.count() > 0) state.block(slice_);
    if (const auto idle = idle_timeout_.load(std::memory_order_relaxed); idle.count() > 0)
      client.set_idle_timeout(idle);
    if (!s.layers.any() && taps_ != nullptr) set_tapped_layer(state);
    if (s.layers.tls) state.edge()->opening.begin(state, opening_timeout_);
    task<> handler = s.layers.any() ? open(std::move(client), s.layers) : handler_(std::move(client));
    home_.driver().counted()[observe::figure::accepted].add(1);
    state.serve(std::move(handler), std::move(s.permit));
    if (stopping_ && (worker_queue_ == nullptr || grace_.count() == 0))
      state.stop(static_cast<std::uint32_t>(grace_.count()));
  } catch (...) {
    is_lost(s);
    has_dropped(s.peer);
  }
}

// One that comes from another core has been listened to there, or is not.
void connection_starter::listen_to(accepted_socket& s) {
  if (s.edge != nullptr) return;
  auto tap = taps_->tap(s.peer, s.layers.tls);
  if (tap == nullptr) return;
  s.edge = std::make_unique<connection_edge>();
  s.edge->tap = std::move(tap);
}

task<> connection_starter::open(connection client, socket_layers layers) {
  if (!layers.tls) return open_layers_and_serve(std::move(client), layers, this, opening_place());
  openings_.fetch_add(1);
  return open_layers_and_serve(std::move(client), layers, this, opening_place(*this));
}

// In a catch block.
void connection_starter::has_dropped(const peer_address& peer) noexcept {
  dropped_.fetch_add(1, std::memory_order_relaxed);
  static log::limiter limit;
  if (const auto held_back = limit.pass())
    log::error("connection from {} dropped: {} ({} more since the last line)", peer,
               text_of_current_exception(), *held_back);
}

bool connection_starter::admit(connection_state& c) {
  if (per_address_ != nullptr && c.peer().is_ip() && !per_address_->try_acquire(c.peer())) {
    refused_.fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  c.edge()->counts_later = false;
  return true;
}

bool connection_starter::has_moved(connection& client, socket_layers closed) {
  if (!places_named_ || !place_) return false;
  connection_state& c = client.state();
  connection_starter& next = place_(c.peer());
  // What this core has read ahead cannot go with the socket.
  if (&next == this || c.driver->stop_reading_ahead(c)) return false;
  accepted_socket s{.fd = {}, .peer = c.peer(), .permit = {}, .layers = closed, .edge = c.take_edge()};
  s.fd = unique_fd(client.release());
  s.permit = here_.return_to_outer(c.take_permit());
  next.enter(std::move(s));
  return true;
}

}  // namespace weir
