#include <fmt/format.h>

#include <cerrno>
#include <iterator>
#include <span>

#include "weir/admin/detail/places.hpp"
#include "weir/admin/detail/status.hpp"
#include "weir/base/detail/json_list.hpp"
#include "weir/base/detail/json_text.hpp"
#include "weir/config/detail/names.hpp"

namespace weir::admin {
namespace {

using observe::figure;
using observe::measure;
using process::listed_connection;

double seconds(std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) * 1e-9; }
double seconds_between(std::int64_t from_ms, std::int64_t to_ms) {
  return static_cast<double>(to_ms - from_ms) / 1000;
}

template <class... Args>
void put(std::string& out, fmt::format_string<Args...> text, Args&&... args) {
  fmt::format_to(std::back_inserter(out), text, std::forward<Args>(args)...);
}

// Quantiles since the start; and the buckets that hold something, for those of a time between two answers:
// the number of a bucket, and the number of its values.
void write_histogram(std::string& out, std::string_view name, const observe::histogram_view& h) {
  put(out,
      R"(,"{}":{{"count":{},"sum":{:.9g},"p50":{:.4g},"p90":{:.4g},"p99":{:.4g},"p999":{:.4g},"buckets":[)",
      name, h.count(), seconds(h.sum()), seconds(h.quantile(0.5)), seconds(h.quantile(0.9)),
      seconds(h.quantile(0.99)), seconds(h.quantile(0.999)));
  std::string_view comma;
  for (std::size_t i = 0; i < h.counts().size(); ++i) {
    if (h.counts()[i] == 0) continue;
    put(out, "{}{},{}", comma, i, h.counts()[i]);
    comma = ",";
  }
  out += "]}";
}

void write_place(std::string& out, const place& p) {
  put(out, R"({{"worker":{},"core":"{}","model":"{}")", p.worker, name_of_core(p.core), name_of(p.model));
  put(out, R"(,"live":{},"open":{},"accepted":{},"outgoing":{},"closed":{{"peer_closed":{},"peer_reset":{},)",
      p.live, p.open(), p[figure::accepted], p[figure::connected], p[figure::peer_closed],
      p[figure::peer_reset]);
  put(out,
      R"("idle":{},"stopping":{},"closed":{},"moved":{}}},"received_bytes":{},"sent_bytes":{},"requests":{})",
      p[figure::idle], p[figure::stopping], p[figure::closed], p[figure::moved], p[figure::received_bytes],
      p[figure::sent_bytes], p[figure::requests]);
  put(out, R"(,"turns":{},"busy_seconds":{:.9g},"stalls":{},"queued_tasks":{},"timers":{},"buffer_bytes":{})",
      p[figure::turns], seconds(p[figure::busy_nanoseconds]), p[figure::stalls], p[figure::run_queue],
      p[figure::timers], p[figure::chunk_bytes]);
  write_histogram(out, "turn_seconds", p.measured(measure::turn));
  write_histogram(out, "lag_seconds", p.measured(measure::lag));
  write_histogram(out, "request_seconds", p.measured(measure::request));
  out += '}';
}

void write_worker(std::string& out, const process::worker_score& row, std::int64_t now) {
  put(out, R"({{"worker":{},"pid":{},"model":"{}","io":"{}","generation":{},"state":"{}","age_seconds":{},)",
      row.index.load(), row.pid.load(), name_of(row.model.load()), name_of(row.io.load()),
      row.generation.load(), word_of(row.now.load()), seconds_between(row.started.load(), now));
  put(out, R"("connections":{},"accepted":{},"requests":{},"refused":{},"fruitless":{}}})",
      row.connections.load(), row.accepted.load(), row.requests.load(), row.refused.load(),
      row.fruitless.load());
}

void write_process(std::string& out, process::scoreboard& board, std::int64_t now) {
  const auto& pool = board.pool();
  const bool is_pool = pool.model.load() == model_kind::process_pool;
  put(out, R"({{"program":{},"pid":{},"model":"{}","io":"{}","policy":"{}","accept":)",
      json_text(program_invocation_short_name), pool.master.load(), name_of(pool.model.load()),
      name_of(pool.io.load()), name_of(pool.policy.load()));
  out += is_pool ? fmt::format(R"("{}")", name_of(pool.accept.load())) : "null";
  put(out, R"(,"ready":{},"uptime_seconds":{},"generation":{},"reloads":{},"restarts":{},"parked":{})",
      board.is_ready(), seconds_between(pool.started.load(), now), pool.generation.load(),
      pool.reloads.load(), pool.restarts.load(), pool.parked.load());
}

}  // namespace

std::string status_json(process::scoreboard& board, std::span<const std::string> listen) {
  const auto now = now_in_ms();
  const places all(board.ledger());
  const auto how = board.pool().accept.load();
  std::string out;
  write_process(out, board, now);
  put(out, R"(,"refused":{{"connections":{},"connections_per_ip":{},"error":{}}})", all.sum(figure::refused),
      all.sum(figure::refused_per_ip), all.sum(figure::dropped));
  put(out, R"(,"accept_queue":{{"connections":{},"limit":{},"pauses":{}}})",
      all.of_listeners(figure::accept_queue, how), all.of_listeners(figure::accept_queue_limit, how),
      all.sum(figure::accept_pauses));
  put(out, R"(,"offload":{{"jobs":{},"queued":{}}},"lost_log_lines":{})", all.sum(figure::jobs),
      all.sum(figure::queued_jobs), all.sum(figure::lost_log_lines));
  out += R"(,"listen":)";
  write_list(out, listen, [&](const std::string& each) { out += json_text(each); });
  out += R"(,"workers":)";
  write_list(out, board.workers().first(board.pool().rows), [&](const process::worker_score& row) {
    if (row.now.load() == process::worker_score::state::free) return false;
    write_worker(out, row, now);
    return true;
  });
  out += R"(,"loops":)";
  write_list(out, all, [&](const place& p) { write_place(out, p); });
  write_histogram(out, "request_seconds", all.measured(measure::request));
  write_histogram(out, "offload_wait_seconds", all.measured(measure::job_wait));
  put(out, R"(,"buckets_per_octave":{}}})", observe::log_linear::per_octave);
  out += '\n';
  return out;
}

std::string connections_json(process::scoreboard& board) {
  const auto now = now_in_ms();
  std::string out;
  const auto write = [&](const listed_connection& c) {
    put(out, R"({{"peer":{},"fd":{},"core":"{}","runs":{},"open_seconds":{},"quiet_seconds":{},)",
        json_text(c.peer.to_string()), c.fd, name_of_core(c.core), c.runs, seconds_between(0, c.age_ms),
        seconds_between(0, c.quiet_ms));
    put(out, R"("bytes_per_second":{}}})", c.bytes_per_second);
  };
  put(out, R"({{"kept":{},"processes":)", process::connection_list::most);
  write_list(out, board.workers().first(board.pool().rows), [&](const process::worker_score& row) {
    const auto list = board.connections_of(row).load();
    if (!list || row.now.load() == process::worker_score::state::free || list->pid != row.pid.load())
      return false;
    put(out, R"({{"worker":{},"pid":{},"age_seconds":{},"seen":{},"longest":)", row.index.load(), list->pid,
        seconds_between(list->at, now), list->seen);
    write_list(out, std::span(list->longest).first(list->longest_count), write);
    out += R"(,"busiest":)";
    write_list(out, std::span(list->busiest).first(list->busiest_count), write);
    out += '}';
    return true;
  });
  return out += "}\n";
}

}  // namespace weir::admin
