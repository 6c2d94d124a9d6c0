#include "weir/admin/detail/status.hpp"

#include <fmt/format.h>

#include <chrono>
#include <iterator>

#include "weir/admin/detail/places.hpp"
#include "weir/config/detail/names.hpp"

namespace weir::admin {
namespace {

using observe::figure;
using observe::measure;
using state = process::worker_score::state;

std::string age(std::int64_t started, std::int64_t now) {
  const std::int64_t seconds = (now - started) / 1000;
  if (seconds < 120) return fmt::format("{}s", seconds);
  if (seconds < 7200) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
}

double milliseconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-6; }
double seconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; }

// Loops that are there, also those that have ended with connections still open.
void write_loops(std::string& out, const places& all) {
  const auto put = [&out](const auto&... cells) {
    fmt::format_to(std::back_inserter(out),
                   "{:>6} {:>7} {:>8} {:>10} {:>14} {:>14} {:>10} {:>8} {:>15} {:>12} {:>11} {:>6}  {}\n",
                   cells...);
  };
  const auto p99 = [](const place& p, measure m) {
    return fmt::format("{:.3f}", milliseconds(p.measured(m).quantile(0.99)));
  };
  out += '\n';
  put("worker", "core", "open", "accepted", "received bytes", "sent bytes", "requests", "busy s",
      "request p99 ms", "turn p99 ms", "lag p99 ms", "stalls", "model");
  for (const place& p : all)
    if (p.live > 0 || p.open() > 0)
      put(p.worker, name_of_core(p.core), p.open(), p[figure::accepted], p[figure::received_bytes],
          p[figure::sent_bytes], p[figure::requests],
          fmt::format("{:.1f}", seconds(p[figure::busy_nanoseconds])), p99(p, measure::request),
          p99(p, measure::turn), p99(p, measure::lag), p[figure::stalls], name_of(p.model));
  out += "Figures are those since the start; quantiles (p99) are at most 3.2 % off.\n";
}

}  // namespace

std::string name_of_core(std::uint16_t core) {
  return core == place::threads ? "threads" : fmt::format("{}", core);
}

std::string_view word_of(state s) noexcept {
  switch (s) {
    case state::free: break;
    case state::starting: return "starting";
    case state::serving: return "serving";
    case state::draining: return "draining";
  }
  return "free";
}

std::int64_t now_in_ms() noexcept {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string status_table(process::scoreboard& board) {
  const auto now = now_in_ms();
  const auto& pool = board.pool();
  std::string out;
  if (pool.model.load() == model_kind::process_pool)
    out = fmt::format(
        "master {}: up {}, {}, {}, accept {}, {}, generation {}, reloads {}, restarts {}, parked {}\n",
        pool.master.load(), age(pool.started, now), name_of(pool.model.load()), name_of(pool.io.load()),
        name_of(pool.accept.load()), name_of(pool.policy.load()), pool.generation.load(), pool.reloads.load(),
        pool.restarts.load(), pool.parked.load());
  else
    out = fmt::format("process {}: up {}, {}, {}, {}\n", pool.master.load(), age(pool.started, now),
                      name_of(pool.model.load()), name_of(pool.io.load()), name_of(pool.policy.load()));
  out += fmt::format("{:>6} {:>8} {:>10} {:>9} {:>8} {:>11} {:>10} {:>10} {:>8} {:>9}  {}\n", "worker", "pid",
                     "generation", "state", "age", "connections", "accepted", "requests", "refused",
                     "fruitless", "model");
  for (const auto& row : board.workers())
    if (const auto its = row.now.load(); its != state::free)
      out +=
          fmt::format("{:>6} {:>8} {:>10} {:>9} {:>8} {:>11} {:>10} {:>10} {:>8} {:>9}  {}\n",
                      row.index.load(), row.pid.load(), row.generation.load(), word_of(its),
                      age(row.started, now), row.connections.load(), row.accepted.load(), row.requests.load(),
                      row.refused.load(), row.fruitless.load(), name_of(row.model.load()));
  write_loops(out, places(board.ledger()));
  return out;
}

}  // namespace weir::admin
