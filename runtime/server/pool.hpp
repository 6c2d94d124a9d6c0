#pragma once
// server: model process-pool: a master that opens the sockets, and servers in forked workers.

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "weir/base/unique_fd.hpp"
#include "weir/config/settings.hpp"
#include "weir/core/core_choice.hpp"
#include "weir/listen/bound_socket.hpp"
#include "weir/process/pid_file.hpp"
#include "weir/process/supervisor.hpp"
#include "weir/process/upgrade.hpp"
#include "weir/server/service.hpp"

namespace weir {

// Settings that were found valid, with the CPUs that they mean.
struct pool_plan {
  weir::settings settings;  // processes.count is a number
  std::vector<int> cpus;
};

[[nodiscard]] pool_plan plan_pool(const settings& s, const core_choice& cores);

// The CPUs of a worker's loops. Those of different workers differ as long as there are enough.
[[nodiscard]] std::vector<int> cpus_of_worker(const pool_plan& p, unsigned index);

// Thread: the only one of its process, and there is none beside it before run() either.
class pool {
 public:
  // Opens the sockets, or takes those of the pool that runs. `read_again` reads the configuration anew, for a
  // reload; `itself` is how this program is started anew, for an upgrade.
  // Errors: as of server.
  pool(pool_plan plan, std::function<pool_plan()> read_again, service_form form, process::invocation itself);

  // The exit code.
  [[nodiscard]] int run();

  [[nodiscard]] std::vector<endpoint> addresses() const;

 private:
  struct named_socket {
    std::string address;  // as it was asked for
    // One, or one for each seat: more for a while, when there were more seats.
    std::vector<bound_socket> group;
    std::chrono::steady_clock::time_point steered{};  // away from those without a seat
  };

  void open_sockets(const settings& s, unsigned seats);
  [[nodiscard]] std::vector<bound_socket> inherited(const std::string& address, const settings& s);
  [[nodiscard]] std::vector<process::named_descriptor> named_sockets() const;
  void unlink_files(bool yes);
  void keep_sockets(const settings& s);
  void steer(unsigned seats);
  [[nodiscard]] std::vector<std::size_t> sockets_of(const settings& s) const;
  [[nodiscard]] std::vector<int> watched(const std::vector<bool>& seated);
  std::optional<settings> reload();
  void reloaded(bool taken);
  int work(process::worker_seat seat);
  void tell_where() const;

  pool_plan plan_;
  std::optional<pool_plan> coming_;
  std::function<pool_plan()> read_again_;
  service_form form_;
  std::vector<named_socket> sockets_;
  unsigned seats_;
  unique_fd accept_lock_;  // with accept_kind::mutex
  process::invocation itself_;
  std::optional<process::heritage> from_;
  std::optional<process::pid_file> pid_file_;
};

}  // namespace weir
