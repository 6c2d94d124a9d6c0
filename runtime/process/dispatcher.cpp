#include "weir/process/detail/dispatcher.hpp"

#include <fmt/ranges.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "weir/config/detail/names.hpp"
#include "weir/listen/peer_address.hpp"

namespace weir::process {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_on_the_way = 64;  // to one worker
constexpr int most_at_once = 64;             // accepts before other events are handled
constexpr auto shortage_pause = 100ms;

client_key key_of(int connection) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getpeername(connection, reinterpret_cast<sockaddr*>(&address), &size) != 0) return {};
  const auto peer = peer_address::from(reinterpret_cast<const sockaddr*>(&address), size);
  return {.hash = peer.hash(), .has_address = peer.is_ip()};
}

bool takes_any(std::span<lane* const> lanes) {
  return std::any_of(lanes.begin(), lanes.end(), [](const lane* l) { return l != nullptr && l->takes; });
}

}  // namespace

dispatcher::dispatcher(const settings& s) : mode_(s.processes.accept) { configure(s); }

void dispatcher::configure(const settings& s) {
  limit_ = s.limits.connections;
  refuses_ = s.limits.excess == excess_kind::refuse;
  tells_decisions_ = s.log.distribute;
  // What a worker has too many of goes to the one with the fewest; the kernel has distributed the rest.
  policy_ = mode_ == accept_kind::reuseport ? policy_kind::least_connections : s.distribute.policy;
  idle_timeout_ = s.limits.idle_timeout;
  decide_.reset();
  targets_ = 0;
}

std::vector<std::uint32_t> dispatcher::loads(std::span<lane* const> lanes) const {
  std::vector<std::uint32_t> out;
  const auto now = clock::now();
  for (const lane* each : lanes) {
    if (each == nullptr || !each->takes || now < each->paused_until) {
      out.push_back(unavailable);
      continue;
    }
    const auto load = scoreboard::load_of(*each->score, &worker_score::connections);
    out.push_back(each->unacknowledged.size() < most_on_the_way && load < limit_ ? load : unavailable);
  }
  return out;
}

bool dispatcher::has_room(std::span<lane* const> lanes) const {
  const auto load = loads(lanes);
  return std::any_of(load.begin(), load.end(), [](auto l) { return l != unavailable; });
}

// Only because of the limit, not because there is no worker.
bool dispatcher::may_refuse(std::span<lane* const> lanes) const { return refuses_ && takes_any(lanes); }

// Null if no worker takes a connection now.
lane* dispatcher::choose(std::span<lane* const> lanes, client_key key) {
  const auto load = loads(lanes);
  if (std::all_of(load.begin(), load.end(), [](auto each) { return each == unavailable; })) return nullptr;
  if (!decide_ || targets_ != lanes.size()) {
    targets_ = lanes.size();
    decide_.emplace(policy_, targets_, last_number_ + 1);
  }
  lane& chosen = *lanes[decide_->choose(load, key)];
  if (tells_decisions_)
    log::info("distribute: {} of loads [{}]: worker {}", name_of(policy_), fmt::join(load, " "),
              chosen.index);
  return &chosen;
}

void dispatcher::add_to(std::vector<::pollfd>& set, std::span<const watched_listener> listeners,
                        std::span<lane* const> lanes) {
  polled_.clear();
  while (!waiting_.empty() && send(waiting_.front(), lanes)) waiting_.pop_front();
  const auto now = clock::now();
  look_again_ = parked_.close_idle(idle_timeout_, now);
  while (waiting_.empty() && parked_.has_awake() && has_room(lanes))
    if (passed_connection awake = parked_.take_awake(); awake && !send(awake, lanes))
      waiting_.push_back(std::move(awake));
  if (listeners.empty() && waiting_.empty() && !parked_.has_awake()) return;
  if (now < paused_until_ || !waiting_.empty() || (!has_room(lanes) && !may_refuse(lanes))) {
    // The end of a connection is told in shared memory, which wakes no process; a new worker sends a message.
    if (now < paused_until_)
      look_again_ = std::min(look_again_, paused_until_);
    else if (takes_any(lanes))
      look_again_ = std::min(look_again_, now + 5ms);
    return;
  }
  if (noticed_.size() != listeners.size()) noticed_.assign(listeners.size(), {});
  for (std::size_t i = 0; i < listeners.size(); ++i) {
    if (!noticed_[i].empty()) continue;
    polled_.push_back(i);
    set.push_back({listeners[i].fd, POLLIN, 0});
  }
}

void dispatcher::serve(std::span<const ::pollfd> ready, std::span<const watched_listener> listeners,
                       std::span<lane* const> lanes) {
  for (std::size_t i = 0; i < ready.size() && i < polled_.size(); ++i) {
    if (ready[i].revents == 0) continue;
    const std::size_t listener = polled_[i];
    if (mode_ == accept_kind::notify)
      notify(listener, lanes);
    else
      accept_some(listeners[listener], lanes);
  }
}

void dispatcher::notify(std::size_t listener, std::span<lane* const> lanes) {
  const auto tell = [&](lane& each) {
    if (each.outgoing.send(each.channel, {message::kind::notice, static_cast<std::uint32_t>(listener)}) ==
        descriptor_channel::sent::gone)
      return;
    noticed_[listener].push_back(&each);
    ++each.answers_owed;
    each.owes_answer();
  };
  if (policy_ != policy_kind::compete) {
    if (lane* const chosen = choose(lanes, {}); chosen != nullptr) tell(*chosen);
    return;
  }
  const auto load = loads(lanes);
  for (std::size_t i = 0; i < lanes.size(); ++i)
    if (load[i] != unavailable) tell(*lanes[i]);
}

void dispatcher::accept_some(const watched_listener& listener, std::span<lane* const> lanes) {
  for (int i = 0; i < most_at_once && waiting_.empty(); ++i) {
    const bool room = has_room(lanes);
    if (!room && !may_refuse(lanes)) return;
    passed_connection connection(
        unique_fd(::accept4(listener.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)), listener.layers);
    if (!connection) {
      if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS) return;
      if (const auto held_back = log_limit_.pass())
        log::warning("accept: {}; pausing for 100 ms ({} more since the last line)",
                     std::generic_category().message(errno), *held_back);
      paused_until_ = clock::now() + shortage_pause;
      return;
    }
    if (room && !send(connection, lanes)) waiting_.push_back(std::move(connection));
  }
}

// True if the connection was sent to a worker.
bool dispatcher::send(passed_connection& connection, std::span<lane* const> lanes) {
  const auto key = key_of(connection.get());
  while (lane* const chosen = choose(lanes, key)) {
    if (give(*chosen, connection)) return true;
    // Each turn takes one lane out of the choice, so this ends.
    chosen->paused_until = clock::now() + shortage_pause;
  }
  return false;
}

bool dispatcher::give(lane& to, passed_connection& connection) {
  if (++last_number_ == 0) ++last_number_;
  auto& pending = to.unacknowledged;
  pending.push_back({last_number_, {}});
  to.score->coming.fetch_add(1);  // the worker may have it before send() returns
  if (to.channel.send({message::kind::connection, last_number_, connection.layers}, connection.get()) ==
      descriptor_channel::sent::yes) {
    pending.back().connection = std::move(connection);
    to.owes_answer();
    return true;
  }
  to.score->coming.fetch_sub(1);
  pending.pop_back();
  return false;
}

void dispatcher::acknowledged(lane& by, std::uint32_t number) {
  auto& pending = by.unacknowledged;
  while (!pending.empty() && static_cast<std::int32_t>(pending.front().number - number) <= 0)
    pending.pop_front();
}

void dispatcher::refused(lane& by, std::uint32_t number) {
  auto& pending = by.unacknowledged;
  const auto it =
      std::find_if(pending.begin(), pending.end(), [&](const auto& each) { return each.number == number; });
  if (it == pending.end()) return;
  waiting_.push_back(std::move(it->connection));
  pending.erase(it);
  pause(by);
}

void dispatcher::unable(lane& by, std::uint32_t listener) {
  answered(by, listener);
  pause(by);
}

// Other workers get the connection meanwhile, or it waits.
void dispatcher::pause(lane& by) {
  by.paused_until = clock::now() + shortage_pause;
  if (const auto held_back = log_limit_.pass())
    log::warning("worker {} has no descriptor for a connection, which waits ({} more since the last line)",
                 by.index, *held_back);
}

void dispatcher::answered(lane& by, std::uint32_t listener) noexcept {
  if (by.answers_owed != 0) --by.answers_owed;
  if (listener < noticed_.size()) std::erase(noticed_[listener], &by);
}

void dispatcher::drains(const lane& which) noexcept {
  for (auto& each : noticed_) std::erase(each, &which);
}

void dispatcher::lost(lane& whose) {
  drains(whose);
  for (auto& each : whose.unacknowledged) waiting_.push_back(std::move(each.connection));
  whose.unacknowledged.clear();
}

void dispatcher::recall(lane& from) {
  using kind = descriptor_channel::received::kind;
  std::vector<message> others;
  for (;;) {
    auto got = from.far_end.receive();
    if (got.what == kind::rejected) continue;
    if (got.what != kind::taken && got.what != kind::without_descriptor) break;
    if (got.content.what != message::kind::connection) {
      others.push_back(got.content);
      continue;
    }
    from.score->coming.fetch_sub(1);
    auto& pending = from.unacknowledged;
    const auto it = std::find_if(pending.begin(), pending.end(),
                                 [&](const auto& each) { return each.number == got.content.number; });
    if (it == pending.end()) continue;
    waiting_.push_back(std::move(it->connection));
    pending.erase(it);
  }
  for (const message& each : others) from.outgoing.send(from.channel, each);
}

void dispatcher::place(passed_connection connection) {
  if (connection) waiting_.push_back(std::move(connection));
}

}  // namespace weir::process
