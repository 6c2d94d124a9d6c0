#pragma once
// process: how the master passes connections to workers, in the accept modes where it chooses the worker.

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "weir/base/log.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/config/settings.hpp"
#include "weir/distribute/detail/policy.hpp"
#include "weir/process/detail/descriptor_channel.hpp"
#include "weir/process/detail/outgoing_messages.hpp"
#include "weir/process/detail/parked_connections.hpp"
#include "weir/process/detail/passed_connection.hpp"
#include "weir/process/detail/scoreboard.hpp"

namespace weir::process {

// A worker as a target of connections.
struct lane {
  using clock = std::chrono::steady_clock;
  struct sent {
    std::uint32_t number;
    passed_connection connection;  // kept until the worker acknowledges it
  };

  unsigned index = 0;
  descriptor_channel channel;
  // The worker's end of it, from which the master takes back what the worker has not received.
  descriptor_channel far_end;
  outgoing_messages outgoing;
  worker_score* score = nullptr;
  bool takes = false;  // connections: the worker serves and does not drain
  std::deque<sent> unacknowledged;
  clock::time_point paused_until{};  // the worker has no descriptor left, or its channel is full

  // Since when the worker owes an answer and has said nothing; max(): it owes none.
  clock::time_point silent_since = clock::time_point::max();
  unsigned answers_owed = 0;  // to notices and questions
  bool was_asked = false;     // message::kind::ask, and it has not answered

  // Something was sent to which it will answer.
  void owes_answer() noexcept {
    if (silent_since == clock::time_point::max()) silent_since = clock::now();
  }
  // It has said something.
  void has_spoken() noexcept {
    const bool owes = answers_owed != 0 || !unacknowledged.empty();
    silent_since = owes ? clock::now() : clock::time_point::max();
  }
};

// Problem: a connection that one process accepts for another must not be lost when the other one dies. In
// mode dispatch the master accepts and sends the descriptor; it keeps its own until the worker has
// acknowledged the connection, and if the worker dies first, or has no descriptor for it, another worker gets
// it. In mode notify the worker accepts when the master tells it to; the master does not watch the listener
// again until the worker has answered. With policy compete all workers are told, and all answer. The load of
// a worker is what it has open and what is on its way to it. A parked connection waits here too, until its
// next bytes come: then it is placed as if it had just been accepted, in every mode. There may be no worker
// at all; connections wait until there is one. Thread: the master's.
class dispatcher {
 public:
  using clock = std::chrono::steady_clock;

  explicit dispatcher(const settings& s);

  // From now on these limits and this policy.
  void configure(const settings& s);

  // In all of these, `lanes` are the workers of the present generation by index, null where there is none.
  // Adds the listeners that the master watches; connections that wait for room are placed first.
  void add_to(std::vector<::pollfd>& set, std::span<const watched_listener> listeners,
              std::span<lane* const> lanes);

  // Handles the events of the listeners that add_to added last.
  void serve(std::span<const ::pollfd> ready, std::span<const watched_listener> listeners,
             std::span<lane* const> lanes);

  // A worker has taken all connections up to `number`; it had no descriptor for connection `number`; it has
  // answered a notice.
  static void acknowledged(lane& by, std::uint32_t number);
  void refused(lane& by, std::uint32_t number);
  void answered(lane& by, std::uint32_t listener) noexcept;
  // A worker has answered that it has no descriptor.
  void unable(lane& by, std::uint32_t listener);
  // A worker drains, is stopped or is stuck: its answers to notices are not waited for any more. It has
  // ended: its connections go to other workers.
  void drains(const lane& which) noexcept;
  void lost(lane& whose);

  // Takes back the connections that the worker has not received: they go to other workers. What it has
  // received stays with it, so none is ever served twice.
  void recall(lane& from);
  // False with ip-hash: a client then waits for the worker that knows it.
  [[nodiscard]] bool may_choose_another() const noexcept { return policy_ != policy_kind::ip_hash; }

  // A worker above its share has accepted this connection for another.
  void place(passed_connection connection);
  // Sends a connection to this worker. False: its channel takes nothing, and `connection` stays.
  bool give(lane& to, passed_connection& connection);

  // Closed when they say nothing for limits.idle_timeout.
  [[nodiscard]] parked_connections& parked() noexcept { return parked_; }

  // Connections that were accepted and that no worker could take yet.
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }
  // One of them; empty if there is none. Not all at once: an empty deque takes memory.
  [[nodiscard]] passed_connection take_waiting() noexcept {
    if (waiting_.empty()) return {};
    passed_connection first = std::move(waiting_.front());
    waiting_.pop_front();
    return first;
  }

  // In a child: closes what waits.
  void disown() noexcept {
    waiting_.clear();
    parked_.clear();
  }

  // When to call add_to again although no event comes: a connection waits for room, or has been silent for
  // too long.
  [[nodiscard]] clock::time_point next_event() const noexcept { return look_again_; }

 private:
  [[nodiscard]] std::vector<std::uint32_t> loads(std::span<lane* const> lanes) const;
  [[nodiscard]] bool has_room(std::span<lane* const> lanes) const;
  [[nodiscard]] bool may_refuse(std::span<lane* const> lanes) const;
  lane* choose(std::span<lane* const> lanes, client_key key);
  void pause(lane& which);
  bool send(passed_connection& connection, std::span<lane* const> lanes);
  void accept_some(const watched_listener& listener, std::span<lane* const> lanes);
  void notify(std::size_t listener, std::span<lane* const> lanes);

  accept_kind mode_;
  std::uint32_t limit_;
  bool refuses_;
  bool tells_decisions_;
  policy_kind policy_;
  std::optional<distributor> decide_;  // for `targets_` workers
  std::size_t targets_ = 0;
  std::uint32_t last_number_ = 0;
  std::deque<passed_connection> waiting_;  // accepted, and no worker could take them
  std::vector<std::vector<const lane*>>
      noticed_;                      // by listener: workers that were told and have not answered
  std::vector<std::size_t> polled_;  // listeners that add_to added, by place
  parked_connections parked_;
  std::chrono::milliseconds idle_timeout_{0};
  clock::time_point paused_until_{};  // this process has no descriptor left
  clock::time_point look_again_ = clock::time_point::max();
  log::limiter log_limit_;
};

}  // namespace weir::process
