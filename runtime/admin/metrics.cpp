#include "weir/admin/detail/metrics.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <span>

#include "weir/admin/detail/places.hpp"
#include "weir/config/detail/names.hpp"

namespace weir::admin {
namespace {

using observe::figure;
using observe::measure;
using kind = exposition::kind;

constexpr double nanosecond = 1e-9;

// A figure that is a metric of its own, or a label's value of one.
struct row {
  std::string_view name;
  kind what;
  std::string_view unit;
  std::string_view help;
  struct part {
    std::string_view label = {};
    figure of;
  };
  std::array<part, 6> parts;
  std::size_t count = 1;
  bool of_process = false;  // one for each worker, not for each loop
};

constexpr row single(std::string_view name, kind what, std::string_view unit, figure of,
                     std::string_view help, bool of_process = false) {
  return {name, what, unit, help, {{{{}, of}}}, 1, of_process};
}

constexpr std::array rows = {
    single("weir_connections_accepted", kind::counter, "", figure::accepted,
           "Connections that a loop has begun to serve, with those that it took over from another."),
    row{"weir_connections_closed",
        kind::counter,
        "",
        "Accepted connections that have ended, by what ended them. Moved: to another loop or worker.",
        {{{"ending=\"peer_closed\"", figure::peer_closed},
          {"ending=\"peer_reset\"", figure::peer_reset},
          {"ending=\"idle\"", figure::idle},
          {"ending=\"stopping\"", figure::stopping},
          {"ending=\"closed\"", figure::closed},
          {"ending=\"moved\"", figure::moved}}},
        6},
    row{"weir_connections_refused",
        kind::counter,
        "",
        "Connections that were closed at once, by the limit, or because an error kept them from a loop.",
        {{{"cause=\"connections\"", figure::refused},
          {"cause=\"connections_per_ip\"", figure::refused_per_ip},
          {"cause=\"proxy_header\"", figure::refused_header},
          {"cause=\"error\"", figure::dropped}}},
        4,
        true},
    single("weir_connections_evicted", kind::counter, "", figure::evicted,
           "Connections that were reset because their peers did not read what an outbox had for them."),
    row{"weir_tls_handshakes",
        kind::counter,
        "",
        "TLS handshakes of clients, by their results. Resumed: of a session that was there before.",
        {{{"result=\"full\"", figure::tls_full},
          {"result=\"resumed\"", figure::tls_resumed},
          {"result=\"failed\"", figure::tls_failed},
          {"result=\"timed_out\"", figure::tls_timed_out}}},
        4},
    single("weir_connections_outgoing", kind::counter, "", figure::connected,
           "Connections that were made to other servers."),
    single("weir_received_bytes", kind::counter, "bytes", figure::received_bytes,
           "Bytes received on all connections."),
    single("weir_sent_bytes", kind::counter, "bytes", figure::sent_bytes,
           "Bytes that the kernel has taken to send, on all connections."),
    single("weir_requests", kind::counter, "", figure::requests,
           "Requests that handlers have counted, http's among them."),
    single("weir_loop_turns", kind::counter, "", figure::turns, "Times that a loop has waited and gone on."),
    single("weir_loop_stalls", kind::counter, "", figure::stalls,
           "Handlers that held a loop for longer than limits.stall."),
    single("weir_timers_fired", kind::counter, "", figure::timers_fired,
           "Times that a loop was woken by its timers."),
    single("weir_accept_pauses", kind::counter, "", figure::accept_pauses,
           "Pauses of accepting for want of descriptors or memory.", true),
    single("weir_accept_fruitless_wakeups", kind::counter, "", figure::fruitless,
           "Wake-ups for a connection that another process had taken.", true),
    single("weir_offload_jobs", kind::counter, "", figure::jobs, "Offloaded jobs that have begun.", true),
    single("weir_file_lines", kind::counter, "", figure::file_lines,
           "Lines that were written to files such as the access log.", true),
    single("weir_file_lost_lines", kind::counter, "", figure::lost_file_lines,
           "Lines of such files that were lost: the disk was full, or too slow.", true),
    single("weir_log_lost_lines", kind::counter, "", figure::lost_log_lines,
           "Log lines that could not be written.", true),
    single("weir_recorded_bytes", kind::counter, "bytes", figure::recorded_bytes,
           "Bytes of the file of a recording.", true),
    single("weir_record_lost_pieces", kind::counter, "", figure::record_lost,
           "Pieces of connections that found no room on their way to the recording.", true),
    single("weir_loop_queued_tasks", kind::gauge, "", figure::run_queue,
           "Chains of coroutines that waited for their turn when it was last looked."),
    single("weir_timers_armed", kind::gauge, "", figure::timers, "Timers that are armed."),
    single("weir_buffers", kind::gauge, "", figure::chunks, "Receive and reply buffers, in use and kept."),
    single("weir_buffer_bytes", kind::gauge, "bytes", figure::chunk_bytes, "The bytes of these buffers."),
    single("weir_offload_queued_jobs", kind::gauge, "", figure::queued_jobs,
           "Offloaded jobs that wait for a thread.", true),
    single("weir_frame_pool_bytes", kind::gauge, "bytes", figure::frame_bytes,
           "Memory taken for the frames of coroutines.", true),
};

label_text label_of(const place& p, bool of_process) {
  const std::string_view model = name_of(p.model);
  if (of_process) return label_text("worker=\"{}\",model=\"{}\"", p.worker, model);
  if (p.core == place::threads)
    return label_text("worker=\"{}\",core=\"threads\",model=\"{}\"", p.worker, model);
  return label_text("worker=\"{}\",core=\"{}\",model=\"{}\"", p.worker, p.core, model);
}

void write_rows(exposition& to, const places& all) {
  for (const row& r : rows) {
    to.family(r.name, r.what, r.unit, r.help);
    for (const place& p : all) {
      if (r.of_process && p.core != 0) continue;
      const label_text where = label_of(p, r.of_process);
      if (r.count == 1)
        to.sample(where, p[r.parts[0].of]);
      else
        for (std::size_t i = 0; i < r.count; ++i)
          to.sample(label_text("{},{}", std::string_view(where), r.parts[i].label), p[r.parts[i].of]);
    }
  }
  to.family("weir_connections_open", kind::gauge, "", "Accepted connections that are open.");
  for (const place& p : all) to.sample(label_of(p, false), p.open());
  to.family("weir_loop_busy_seconds", kind::counter, "seconds",
            "CPU time of a loop's thread, with what the kernel did for it.");
  for (const place& p : all)
    to.sample(label_of(p, false), static_cast<double>(p[figure::busy_nanoseconds]) * nanosecond);
}

void write_measures(exposition& to, const places& all) {
  const auto of_loops = [&](std::string_view name, measure m, std::string_view help) {
    to.family(name, kind::histogram, "seconds", help);
    for (const place& p : all)
      if (p.core != place::threads) to.sample(label_of(p, false), p.measured(m), nanosecond);
  };
  of_loops("weir_loop_turn_duration_seconds", measure::turn,
           "Time from the end of a wait of a loop to the next one, of some turns.");
  of_loops("weir_loop_lag_seconds", measure::lag,
           "How much later than it should have a timer of a loop fired.");
  const auto of_models = [&](std::string_view name, measure m, std::string_view help) {
    to.family(name, kind::histogram, "seconds", help);
    for (const model_kind model : all.models())
      to.sample(label_text("model=\"{}\"", name_of(model)), all.measured(m, model), nanosecond);
  };
  of_models("weir_request_duration_seconds", measure::request,
            "Time from when a request was read to its answer, as protocols report it.");
  of_models("weir_offload_wait_seconds", measure::job_wait, "Time that offloaded jobs waited for a thread.");
}

void write_accept_queue(exposition& to, process::scoreboard& board, const places& all) {
  to.family("weir_accept_queue_connections", kind::gauge, "",
            "Connections that the kernel holds for the TCP listeners.");
  to.sample("", all.of_listeners(figure::accept_queue, board.pool().accept.load()));
  to.family("weir_accept_queue_limit", kind::gauge, "", "How many these may be.");
  to.sample("", all.of_listeners(figure::accept_queue_limit, board.pool().accept.load()));
}

void write_pool(exposition& to, process::scoreboard& board, const places& all) {
  using state = process::worker_score::state;
  const auto& pool = board.pool();
  to.family("weir_server", kind::info, "", "The model, and how loops do I/O.");
  to.sample(fmt::format("model=\"{}\",io=\"{}\"", name_of(pool.model.load()), name_of(pool.io.load())),
            std::uint64_t{1});
  to.family("weir_ready", kind::gauge, "", "1 while a worker serves and is not told to stop.");
  to.sample("", std::uint64_t{board.is_ready() ? 1U : 0U});
  const auto age =
      std::chrono::steady_clock::now().time_since_epoch() - std::chrono::milliseconds(pool.started.load());
  const auto began = std::chrono::system_clock::now().time_since_epoch() - age;
  to.family("weir_start_time_seconds", kind::gauge, "seconds", "When the server started, since 1970.");
  to.sample("", std::chrono::duration<double>(std::chrono::floor<std::chrono::milliseconds>(began)).count());
  to.family("weir_workers", kind::gauge, "", "Worker processes, by their state and model.");
  for (const auto& [name, wanted] :
       {std::pair{"starting", state::starting}, std::pair{"serving", state::serving},
        std::pair{"draining", state::draining}}) {
    for (const model_kind model : all.models()) {
      std::uint64_t n = 0;
      for (const auto& w : board.workers().first(pool.rows))
        n += w.now.load() == wanted && w.model.load() == model ? 1 : 0;
      to.sample(fmt::format("state=\"{}\",model=\"{}\"", name, name_of(model)), n);
    }
  }
  to.family("weir_worker_restarts", kind::counter, "", "Worker processes that were replaced, by why.");
  for (std::size_t i = 0; i < pool.restarts_for.size(); ++i)
    to.sample(fmt::format("reason=\"{}\"", process::names_of_restart_reasons[i]),
              pool.restarts_for[i].load());
  to.family("weir_reloads", kind::counter, "", "Configurations that were taken while it ran.");
  to.sample("", pool.reloads.load() + all.sum(figure::reloads));
  to.family("weir_placement_drifts", kind::gauge, "",
            "Ways in which loops do not run where they were placed; the log names them.");
  to.sample("", std::uint64_t{pool.placement_drifts.load()});
  to.family("weir_placement_changes", kind::counter, "", "Times that such a way came or went.");
  to.sample("", pool.placement_changes.load());
  to.family("weir_connections_parked", kind::gauge, "", "Connections that are parked in the master.");
  to.sample("", std::uint64_t{pool.parked.load()});
}

constexpr std::array<std::string_view, 3> names_of_units{"", "seconds", "bytes"};

// Calls `each` with the places of the series, those of a name one after another, and `family` before the
// first of a name.
template <class Family, class Each>
void for_each_series(std::span<const observe::series_name> all, Family family, Each each) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto is_of_name = [&](const observe::series_name& s) {
      return s.is_ready() && s.get_name() == all[i].get_name();
    };
    if (!all[i].is_ready() ||
        std::any_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(i), is_of_name))
      continue;
    family(all[i]);
    for (std::size_t k = i; k < all.size(); ++k)
      if (is_of_name(all[k])) each(k);
  }
}

void write_series(exposition& to, const observe::series_store& own) {
  const auto family_of = [&](kind what) {
    return [&to, what](const observe::series_name& s) {
      to.family(s.get_name(), what, names_of_units[static_cast<std::size_t>(s.what)],
                exposition::escaped_help(s.get_help()));
    };
  };
  for_each_series(own.counters, family_of(kind::counter),
                  [&](std::size_t i) { to.sample(own.counters[i].get_labels(), own.counted(i)); });
  for_each_series(own.histograms, family_of(kind::histogram), [&](std::size_t i) {
    observe::histogram_view view;
    view.add(own.measured[i]);
    to.sample(own.histograms[i].get_labels(), view,
              own.histograms[i].what == observe::unit::seconds ? nanosecond : 1.0);
  });
}

}  // namespace

std::string metrics_of(process::scoreboard& board, const observe::series_store& own, exposition::dialect d) {
  exposition to(d);
  const places all(board.ledger());
  write_pool(to, board, all);
  write_rows(to, all);
  write_accept_queue(to, board, all);
  write_measures(to, all);
  write_series(to, own);
  return std::move(to).take();
}

}  // namespace weir::admin
