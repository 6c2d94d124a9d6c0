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

std::string_view word(state s) {
  switch (s) {
    case state::free: break;
    case state::starting: return "starting";
    case state::serving: return "serving";
    case state::draining: return "draining";
  }
  return "free";
}

std::int64_t now_in_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

std::string age(std::int64_t started, std::int64_t now) {
  const std::int64_t seconds = (now - started) / 1000;
  if (seconds < 120) return fmt::format("{}s", seconds);
  if (seconds < 7200) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
}

double milliseconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-6; }
double seconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; }

std::string core_of(const place& p) {
  return p.core == place::threads ? "threads" : fmt::format("{}", p.core);
}

void write_loops(std::string& out, const observe::ledger& from) {
  fmt::format_to(std::back_inserter(out),
                 "\n{:>6} {:>7} {:>8} {:>10} {:>14} {:>14} {:>10} {:>9} {:>12} {:>11}  {}\n", "worker",
                 "core", "open", "accepted", "bytes in", "bytes out", "requests", "busy s", "turn p99 ms",
                 "lag p99 ms", "model");
  for (const place& p : places_of(from))
    fmt::format_to(std::back_inserter(out),
                   "{:>6} {:>7} {:>8} {:>10} {:>14} {:>14} {:>10} {:>9.1f} {:>12.3f} {:>11.3f}  {}\n",
                   p.worker, core_of(p), p.open(), p[figure::accepted], p[figure::received_bytes],
                   p[figure::sent_bytes], p[figure::requests], seconds(p[figure::busy_nanoseconds]),
                   milliseconds(measured_in(from, measure::turn, p).quantile(0.99)),
                   milliseconds(measured_in(from, measure::lag, p).quantile(0.99)), name_of(p.model));
}

std::string quantiles(const observe::histogram_view& h) {
  return fmt::format(R"({{"count":{},"p50":{},"p90":{},"p99":{},"p999":{}}})", h.count(),
                     seconds(h.quantile(0.5)), seconds(h.quantile(0.9)), seconds(h.quantile(0.99)),
                     seconds(h.quantile(0.999)));
}

}  // namespace

std::string status_table(process::scoreboard& board) {
  const auto now = now_in_ms();
  const auto& pool = board.pool();
  std::string out;
  if (pool.model.load() == model_kind::process_pool)
    out = fmt::format("master {}: up {}, generation {}, reloads {}, restarts {}, parked {}\n",
                      pool.master.load(), age(pool.started, now), pool.generation.load(), pool.reloads.load(),
                      pool.restarts.load(), pool.parked.load());
  else
    out = fmt::format("process {}: up {}, {}, {}\n", pool.master.load(), age(pool.started, now),
                      name_of(pool.model.load()), name_of(pool.io.load()));
  out += fmt::format("{:>6} {:>8} {:>10} {:>9} {:>8} {:>11} {:>10} {:>10} {:>8} {:>9}  {}\n", "worker", "pid",
                     "generation", "state", "age", "connections", "accepted", "requests", "refused",
                     "fruitless", "model");
  for (const auto& row : board.workers())
    if (const auto its = row.now.load(); its != state::free)
      out +=
          fmt::format("{:>6} {:>8} {:>10} {:>9} {:>8} {:>11} {:>10} {:>10} {:>8} {:>9}  {}\n",
                      row.index.load(), row.pid.load(), row.generation.load(), word(its),
                      age(row.started, now), row.connections.load(), row.accepted.load(), row.requests.load(),
                      row.refused.load(), row.fruitless.load(), name_of(row.model.load()));
  write_loops(out, board.ledger());
  return out;
}

std::string status_json(process::scoreboard& board) {
  const auto now = now_in_ms();
  const auto& pool = board.pool();
  std::string out = fmt::format(
      R"({{"pid":{},"model":"{}","io":"{}","ready":{},"uptime_seconds":{},"generation":{},"reloads":{},"restarts":{},"parked":{},"workers":[)",
      pool.master.load(), name_of(pool.model.load()), name_of(pool.io.load()), board.is_ready(),
      static_cast<double>(now - pool.started.load()) / 1000, pool.generation.load(), pool.reloads.load(),
      pool.restarts.load(), pool.parked.load());
  std::string_view comma;
  for (const auto& row : board.workers()) {
    const auto its = row.now.load();
    if (its == state::free) continue;
    out += fmt::format(
        R"({}{{"worker":{},"pid":{},"model":"{}","io":"{}","generation":{},"state":"{}","age_seconds":{},"connections":{},"accepted":{},"requests":{},"refused":{},"fruitless":{}}})",
        comma, row.index.load(), row.pid.load(), name_of(row.model.load()), name_of(row.io.load()),
        row.generation.load(), word(its), static_cast<double>(now - row.started.load()) / 1000,
        row.connections.load(), row.accepted.load(), row.requests.load(), row.refused.load(),
        row.fruitless.load());
    comma = ",";
  }
  out += R"(],"loops":[)";
  comma = "";
  for (const place& p : places_of(board.ledger())) {
    out += fmt::format(
        R"({}{{"worker":{},"core":"{}","model":"{}","open":{},"accepted":{},"received_bytes":{},"sent_bytes":{},"requests":{},"turns":{},"busy_seconds":{},"queued_tasks":{},"timers":{},"turn_seconds":{},"lag_seconds":{}}})",
        comma, p.worker, core_of(p), name_of(p.model), p.open(), p[figure::accepted],
        p[figure::received_bytes], p[figure::sent_bytes], p[figure::requests], p[figure::turns],
        seconds(p[figure::busy_nanoseconds]), p[figure::run_queue], p[figure::timers],
        quantiles(measured_in(board.ledger(), measure::turn, p)),
        quantiles(measured_in(board.ledger(), measure::lag, p)));
    comma = ",";
  }
  out += fmt::format(R"(],"request_seconds":{},"offload_wait_seconds":{}}})",
                     quantiles(measured_in(board.ledger(), measure::request)),
                     quantiles(measured_in(board.ledger(), measure::job_wait)));
  out += '\n';
  return out;
}

}  // namespace weir::admin
