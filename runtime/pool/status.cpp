#include "weir/pool/detail/status.hpp"

#include <fmt/format.h>

#include <chrono>

namespace weir {
namespace {

std::string_view word(process::worker_score::state s) {
  using state = process::worker_score::state;
  switch (s) {
    case state::free: break;
    case state::starting: return "starting";
    case state::serving: return "serving";
    case state::draining: return "draining";
  }
  return "free";
}

std::string age(std::int64_t started, std::int64_t now) {
  const std::int64_t seconds = (now - started) / 1000;
  if (seconds < 120) return fmt::format("{}s", seconds);
  if (seconds < 7200) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
}

}  // namespace

std::string describe_pool(process::scoreboard& board) {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::steady_clock::now().time_since_epoch())
                       .count();
  const auto& pool = board.pool();
  std::string out = fmt::format("master {}: up {}, generation {}, reloads {}, restarts {}, parked {}\n",
                                pool.master.load(), age(pool.started, now), pool.generation.load(),
                                pool.reloads.load(), pool.restarts.load(), pool.parked.load());
  out += fmt::format("{:>6} {:>8} {:>10} {:>9} {:>8} {:>11} {:>10} {:>10} {:>8} {:>9}\n", "worker", "pid",
                     "generation", "state", "age", "connections", "accepted", "requests", "refused",
                     "fruitless");
  for (const auto& row : board.workers())
    if (const auto state = row.now.load(); state != process::worker_score::state::free)
      out += fmt::format("{:>6} {:>8} {:>10} {:>9} {:>8} {:>11} {:>10} {:>10} {:>8} {:>9}\n",
                         row.index.load(), row.pid.load(), row.generation.load(), word(state),
                         age(row.started, now), row.connections.load(), row.accepted.load(),
                         row.requests.load(), row.refused.load(), row.fruitless.load());
  return out;
}

}  // namespace weir
