#pragma once
// compare: the core of a replay, the clients at the other ends of its connections, and their time.

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "weir/admission/detail/permit_pool.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/compare/detail/redaction.hpp"
#include "weir/compare/detail/replay_plan.hpp"
#include "weir/connection/detail/connection_starter.hpp"
#include "weir/core/detail/offload_pool.hpp"
#include "weir/core/detail/sigpipe_blocked.hpp"
#include "weir/core/detail/virtual_clock.hpp"
#include "weir/observe/detail/figures.hpp"

namespace weir::compare {

// Serves what clients do with the handler, on the calling thread.
class replay_stage {
 public:
  // Errors: std::system_error; what service_form::start throws.
  replay_stage(const recording::content& recorded, const service_form& what, const replay_options& how);
  replay_stage(const replay_stage&) = delete;
  replay_stage& operator=(const replay_stage&) = delete;

  // What the clients got, and why it ended early, if it did.
  [[nodiscard]] replay_result play(const std::vector<client_action>& plan);

 private:
  struct client {
    client(std::uint32_t at, std::uint32_t number);

    std::uint32_t place;
    unique_fd fd;
    // The server's end once more. It tells how the server has closed, which a socket pair does not.
    unique_fd copy;
    connection_state* state = nullptr;  // while it lives
    std::string unsent;
    bool pauses = false;
    bool finishes = false;  // when all is sent
    recording::redaction hides;
    replay_result::client got;
  };

  [[nodiscard]] task<> begin(connection c);
  void act(const client_action& a);
  [[nodiscard]] accepted_socket open(const client_action& a);
  void leave(client& c);
  bool push(client& c);
  bool pull(client& c);
  void see_closed() noexcept;
  void has_closed(client& c) noexcept;
  // False: `failure` of the result says why it cannot go on.
  [[nodiscard]] bool run_core();
  [[nodiscard]] bool has_offloaded() const;
  void wait_for_jobs() noexcept;
  [[nodiscard]] bool settle();
  [[nodiscard]] bool advance_to(std::chrono::milliseconds at);
  [[nodiscard]] bool wait_for_ends();
  void run_step(const core_step& step, const char* name);
  void note(std::uint64_t what, std::uint32_t of, std::string_view bytes) noexcept;
  [[nodiscard]] bool fail(std::string why);

  const service_form& what_;
  const replay_options& how_;
  replay_result out_;
  std::deque<client> clients_;        // in the order of the recording
  std::vector<std::uint32_t> live_;   // that have a connection
  std::vector<std::uint32_t> ports_;  // which client has a port
  unique_fd set_;                     // epoll: the clients' ends
  client* opening_ = nullptr;
  std::size_t rounds_ = 0;  // of the core, while nothing else happened

  // The order in which they end: time, the core with its coroutines, what these refer to.
  connection_handler handler_;
  sigpipe_blocked quiet_;
  permit_pool permits_{UINT32_MAX};
  observe::block figures_;
  offload_pool beside_;
  std::optional<connection_starter> starter_;
  std::optional<core> core_;
  std::optional<core::entered> here_;
  std::optional<virtual_clock> clock_;
};

}  // namespace weir::compare
