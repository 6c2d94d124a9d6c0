#include "weir/process/detail/restart_policy.hpp"

#include <algorithm>

namespace weir::process {

using namespace std::chrono_literals;

restart_decision decide_restart(restart_history before, const worker_death& death) noexcept {
  restart_decision out;
  out.history = before;
  if (death.served && death.lived >= young_age) return out;

  auto& row = out.history.young_deaths;
  // Counted up to its start: a start that takes minutes to fail is no quiet time.
  if (row != 0 && death.now - death.lived - before.last_young_death > 2 * longest_delay) row = 0;
  ++row;
  out.history.last_young_death = death.now;

  const bool refused = !death.served && !death.how.by_signal;
  if (!before.ever_served && (refused || row >= most_failed_starts)) {
    out.what = restart_decision::kind::give_up;
    return out;
  }
  const auto doublings = death.served ? row - 1 : row;
  if (doublings != 0) out.delay = std::min(200ms * (1U << std::min(doublings - 1, 16U)), longest_delay);
  return out;
}

}  // namespace weir::process
