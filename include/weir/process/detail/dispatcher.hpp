#pragma once
// process: how the master passes connections to workers, in the modes where it chooses who serves.

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "weir/base/log.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/config/settings.hpp"
#include "weir/distribute/detail/policy.hpp"
#include "weir/process/detail/descriptor_channel.hpp"
#include "weir/process/detail/parked_connections.hpp"
#include "weir/process/detail/scoreboard.hpp"

namespace weir::process {

// A worker as the one who chooses sees it.
struct lane {
  struct sent {
    std::uint32_t number;
    unique_fd connection;  // kept until the worker says that it has it
  };

  unsigned index = 0;
  descriptor_channel channel;
  worker_score* score = nullptr;
  bool takes = false;  // connections: it serves and does not drain
  std::deque<sent> unacknowledged;
};

// Problem: who accepts in one process what another shall serve must not lose it when that one dies. In mode
// dispatch the master accepts and sends the descriptor; it keeps its own until the worker has acknowledged,
// and if the worker dies first another one gets it. In mode notify the worker accepts, when it is told to; a
// listener is not looked at again until it has answered. With policy compete all are told, and all answer.
// The load of a worker is what it has open and what is on its way to it.
// A connection that belongs to nobody waits here too, until its next bytes come: then it is placed as if it
// had just been accepted, in every mode.
// Thread: the master's.
class dispatcher {
 public:
  using clock = std::chrono::steady_clock;

  explicit dispatcher(const settings& s);

  // From now on these limits and this policy.
  void configure(const settings& s);

  // In all of these, `lanes` are the workers of the present generation by index, null where there is none.
  // The listeners that the master looks at; what has been waiting for room is placed first.
  void add_to(std::vector<::pollfd>& set, std::span<const int> listeners, std::span<lane* const> lanes);

  // What came for those that add_to added last.
  void serve(std::span<const ::pollfd> ready, std::span<const int> listeners, std::span<lane* const> lanes);

  // A worker has taken all up to `number`; it has answered a notice; it will answer nothing any more.
  static void acknowledged(lane& by, std::uint32_t number);
  void answered(const lane& by, std::uint32_t listener) noexcept;
  void lost(lane& whose);
  // It is stopped or stuck: its answer to a notice is not waited for.
  void passed_over(const lane& whose) noexcept;

  // A worker above its share has accepted this one for another.
  void place(unique_fd connection);
  // To this one. False: it cannot be sent, and stays.
  bool give(lane& to, unique_fd& connection);

  // Those that belong to nobody; closed when they say nothing for limits.idle_timeout.
  [[nodiscard]] parked_connections& parked() noexcept { return parked_; }

  // In a child: closes what waits.
  void disown() noexcept {
    waiting_.clear();
    parked_.clear();
  }

  // When to look again although nothing happens: somebody waits for room, or has been silent for too long.
  [[nodiscard]] clock::time_point next_event() const noexcept { return look_again_; }

 private:
  [[nodiscard]] std::vector<std::uint32_t> loads(std::span<lane* const> lanes) const;
  [[nodiscard]] bool has_room(std::span<lane* const> lanes) const;
  [[nodiscard]] bool may_refuse(std::span<lane* const> lanes) const;
  lane* choose(std::span<lane* const> lanes, client_key key);
  bool send(unique_fd& connection, std::span<lane* const> lanes);
  void accept_some(int listener, std::span<lane* const> lanes);
  void notify(std::size_t listener, std::span<lane* const> lanes);

  accept_kind mode_;
  std::uint32_t limit_;
  bool refuses_;
  bool tells_decisions_;
  policy_kind policy_;
  std::optional<distributor> decide_;  // for as many workers as there were last
  std::size_t targets_ = 0;
  std::uint32_t last_number_ = 0;
  std::deque<unique_fd> waiting_;                  // accepted, and nobody could take them
  std::vector<std::vector<const lane*>> noticed_;  // by listener: who has been told and has not answered
  std::vector<std::size_t> polled_;                // listeners that add_to added, by place
  parked_connections parked_;
  std::chrono::milliseconds idle_timeout_{0};
  clock::time_point paused_until_{};  // out of descriptors
  clock::time_point look_again_ = clock::time_point::max();
  log::limiter log_limit_;
};

}  // namespace weir::process
