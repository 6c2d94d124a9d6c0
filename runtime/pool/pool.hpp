#pragma once
// pool: model process-pool: a master that opens the sockets, and servers in forked workers.

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "weir/base/unique_fd.hpp"
#include "weir/config/settings.hpp"
#include "weir/listen/detail/bound_socket.hpp"
#include "weir/process/detail/pid_file.hpp"
#include "weir/process/detail/supervisor.hpp"
#include "weir/process/detail/upgrade.hpp"
#include "weir/server/detail/plan.hpp"
#include "weir/server/service.hpp"

namespace weir {

// Thread: the only one of its process, before run() too.
class pool {
 public:
  // Opens the sockets, or takes those of the pool that runs. `read_again` reads the configuration anew, for a
  // reload; `itself` is how this program is started anew, for an upgrade.
  // Errors: as of server.
  pool(pool_plan plan, std::function<pool_plan()> read_again, service_form form, process::invocation itself);

  // The exit code: 0; 1 if no worker could ever serve; 3 if the pool stopped as it was told, but connections
  // were cut. Errors: std::system_error if processes.pid_file cannot be written, or the pool is the second
  // one of its process.
  [[nodiscard]] int run();

  [[nodiscard]] std::vector<endpoint> addresses() const;

 private:
  struct named_socket {
    std::string address;  // as it was asked for
    // One, or one for each slot; more while a reload adds slots, and for a while after slots were removed.
    std::vector<bound_socket> group;
    // When new connections were steered away from the sockets without a slot. max(): they are not.
    std::chrono::steady_clock::time_point steered = std::chrono::steady_clock::time_point::max();
    std::size_t shared = 0;  // of the group: those that the other master has too
  };

  void open_sockets(const settings& s, unsigned slots);
  void open_admin_socket();
  [[nodiscard]] std::vector<bound_socket> inherited(const std::string& address, const settings& s);
  void take_tickets();
  [[nodiscard]] std::vector<process::named_descriptor> to_hand_over();
  void begin_sharing();
  void end_sharing();
  void close_sockets();
  void unlink_files(bool yes);
  void keep_sockets(const settings& s);
  void steer(unsigned slots);
  [[nodiscard]] std::vector<std::size_t> sockets_of(const settings& s) const;
  [[nodiscard]] std::vector<process::watched_listener> watched(const std::vector<bool>& occupied);
  [[nodiscard]] std::vector<int> own_listeners(unsigned index) const;
  std::optional<settings> reload();
  void reloaded(bool taken);
  void reopen_log() noexcept;
  int work(process::worker_slot slot);
  void tell_where() const;

  pool_plan plan_;
  std::optional<pool_plan> coming_;
  std::function<pool_plan()> read_again_;
  service_form form_;
  std::vector<named_socket> sockets_;
  std::optional<bound_socket> admin_;
  unsigned slots_;
  unique_fd accept_lock_;  // with accept_kind::mutex
  unique_fd tickets_;      // for the program that takes over
  process::invocation itself_;
  std::optional<process::heritage> from_;
  bool shares_;  // the sockets, with another master
  std::optional<process::pid_file> pid_file_;
};

}  // namespace weir
