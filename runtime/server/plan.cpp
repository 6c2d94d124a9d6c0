#include "weir/server/detail/plan.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "weir/base/log.hpp"
#include "weir/config/detail/names.hpp"
#include "weir/io/detail/completion_driver.hpp"
#include "weir/listen/endpoint.hpp"

namespace weir {
namespace {

// One line per fact: the first carries the label.
void add(std::string& out, std::string_view label, std::string_view text) {
  out += fmt::format("{:<14}{}{}\n", label, label.size() < 14 ? "" : " ", text);
}

std::string accepted_by(const settings& s, std::size_t listener, std::size_t loops) {
  if (row_of(s.model).io_blocks)
    return s.listen.size() == 1 ? "the main thread blocks in accept"
                                : "the main thread waits for all listeners and accepts";
  if (loops == 1) return "accepted by loop 0";
  if (s.distribute.policy != policy_kind::kernel) return fmt::format("accepted by loop {}", listener % loops);
  return fmt::format("a socket per loop, each accepts its own{}",
                     s.distribute.pin_incoming ? ", by the CPU that received the packet" : "");
}

std::string_view explained(accept_kind mode) {
  switch (mode) {
    case accept_kind::shared: return "a thread of each worker blocks in accept";
    case accept_kind::mutex: return "the worker that holds the lock accepts";
    case accept_kind::reuseport:
      return "each worker accepts from a socket of its own, which the master keeps";
    case accept_kind::notify: return "the master tells a worker to accept";
    case accept_kind::dispatch: return "the master accepts and passes the descriptor on";
  }
  return "";
}

// Those beside the loops; empty if there are none.
std::string further_threads(const settings& s) {
  switch (row_of(s.model).threads) {
    case handler_threads::per_connection:
      return fmt::format("a thread for each connection, at most {},", s.workers.most);
    case handler_threads::fixed: return fmt::format("{} workers", s.workers.count);
    case handler_threads::per_event:
      return fmt::format("a thread for each event, at most {},", s.workers.most);
    case handler_threads::none: break;
  }
  return {};
}

// What does I/O for `row`, and how.
std::string io_line(const model_row& row, const io_choice& io) {
  return fmt::format("does I/O: {} ({}{}{})", row.does_io, name_of(io.io), io.why.empty() ? "" : "; ",
                     io.why);
}

void add_workers(std::string& out, const pool_plan& p) {
  const auto& processes = p.settings.processes;
  for (std::uint32_t i = 0; i < processes.count; ++i)
    add(out, i == 0 ? "workers" : "",
        fmt::format("worker {}: {}, {}", i, name_of(processes.model_of(i)),
                    describe_threads(settings_of_worker(p.settings, i), {cpus_of_worker(p, i), {}})));
  for (const model_kind kind : models_of(p.settings)) {
    settings its = p.settings;
    its.model = kind;
    const auto& row = row_of(kind);
    add(out, row.name(), io_line(row, choose_io(its)));
    add(out, "", fmt::format("runs the handler: {}", row.runs_handler));
  }
  add(out, "accept", fmt::format("{}: {}", name_of(processes.accept), explained(processes.accept)));
}

bool has_tls(const settings& s) {
  return tls_provided() != nullptr &&
         std::any_of(s.listen.begin(), s.listen.end(),
                     [](const std::string& text) { return endpoint::parse(text).layers().tls; });
}

std::string timeout(std::chrono::milliseconds d) {
  if (d.count() % 1000 == 0) return fmt::format("{}", std::chrono::duration_cast<std::chrono::seconds>(d));
  return fmt::format("{}", d);
}

void add_recording(std::string& out, const record_settings& r, bool any_tls) {
  if (r.file.empty()) return;
  add(out, "recorded",
      fmt::format("what {} % of the clients send{}, in {}, for {}, up to {} bytes{}", r.share,
                  r.answers ? " and get" : "", r.file, timeout(r.time), r.size,
                  !any_tls          ? ""
                  : r.tls_plaintext ? "; those over TLS as plaintext"
                                    : "; none over TLS"));
}

// What is decided before a balancer has named the client goes by the address of the balancer.
std::string_view policy_behind_balancer(const settings& s, io_kind io, std::size_t loops) {
  if (s.distribute.policy != policy_kind::ip_hash) return {};
  const bool ring = io == io_kind::io_uring;
  if (row_of(s.model).processes && s.processes.accept == accept_kind::dispatch)
    return loops == 1 || ring
               ? "ip-hash chooses the worker by the address of the balancer: the header comes later"
               : "ip-hash chooses the worker by the address of the balancer, and its loop by that of the "
                 "client";
  if (loops == 1) return {};
  return ring ? "ip-hash chooses by the address of the balancer where a loop has read on behind the header"
              : "ip-hash chooses the loop by the address of the client, once the header has told it";
}

void add_balancers(std::string& out, const settings& s, io_kind io, std::size_t loops) {
  if (std::none_of(s.listen.begin(), s.listen.end(),
                   [](const std::string& each) { return endpoint::parse(each).layers().proxy; }))
    return;
  std::string trusted;
  for (const std::string& each : s.proxy.trusted) trusted += (trusted.empty() ? "" : ", ") + each;
  add(out, "balancers",
      fmt::format("{}; their header within {}", trusted.empty() ? "none is trusted" : trusted,
                  timeout(s.proxy.timeout)));
  if (s.limits.connections_per_ip != 0) add(out, "", "the connections of a client count from its header on");
  if (const auto text = policy_behind_balancer(s, io, loops); !text.empty()) add(out, "", text);
}

}  // namespace

// Without this a policy that binds several sockets to one address would accept the same one twice.
std::optional<refusal> check_listeners(const settings& s) {
  std::vector<endpoint> before;
  for (const std::string& text : s.listen) {
    const endpoint whole = endpoint::parse(text);
    if (whole.layers().tls && tls_provided() == nullptr)
      return refusal{"listen", fmt::format("\"{}\": this program has no TLS; link it with weir::tls", text)};
    const endpoint at = whole.with_layers({});            // one socket, whatever lies on it
    const bool any_port = at.is_tcp() && at.port() == 0;  // each gets a port of its own
    if (!any_port && std::find(before.begin(), before.end(), at) != before.end())
      return refusal{"listen", fmt::format("\"{}\" is listed twice", text)};
    before.push_back(at);
  }
  return std::nullopt;
}

std::shared_ptr<const tls_files> read_tls(const settings& s) {
  return has_tls(s) ? tls_provided()->read(s) : nullptr;
}

std::vector<tls_support::problem> check_tls(const settings& s) {
  return has_tls(s) ? tls_provided()->check(s) : std::vector<tls_support::problem>{};
}

io_choice choose_io(const settings& s) {
  if (s.io != io_kind::automatic) return {s.io, {}};
  std::string why = why_no_ring(s);
  if (why.empty()) why = io::completion_driver::why_not();
  if (!why.empty()) return {io_kind::epoll, "no io_uring: " + why};
  return {io_kind::io_uring, "all that it needs is there"};
}

void log_io_choice(const settings& s) {
  if (s.io != io_kind::automatic) return;
  for (const model_kind kind : models_of(s)) {
    settings its = s;
    its.model = kind;
    const io_choice chosen = choose_io(its);
    log::info("io{}: {}; {}", row_of(s.model).processes ? fmt::format(" of {}", name_of(kind)) : "",
              name_of(chosen.io), chosen.why);
  }
}

std::optional<refusal> check_io(const settings& s) {
  if (s.io != io_kind::io_uring) return std::nullopt;
  const std::string why = io::completion_driver::why_not();
  if (why.empty()) return std::nullopt;
  return refusal{
      "io", fmt::format("\"io_uring\" is not to be had here: {}; the nearest that runs is \"epoll\"", why)};
}

pool_plan plan_pool(const settings& s, const core_choice& cores) {
  pool_plan out{s, cores.cpus};
  auto& p = out.settings.processes;
  if (p.count == 0)
    p.count = std::max({1U, static_cast<std::uint32_t>(cores.cpus.size()) / p.loops,
                        static_cast<std::uint32_t>(p.models.size())});
  return out;
}

std::vector<int> cpus_of_worker(const pool_plan& p, unsigned index) {
  std::vector<int> out;
  for (std::uint32_t i = 0; i < p.settings.processes.loops; ++i)
    out.push_back(p.cpus[(index * p.settings.processes.loops + i) % p.cpus.size()]);
  return out;
}

std::optional<int> cpu_of_loop(const pool_plan& p, unsigned worker, unsigned loop) {
  if (!p.settings.cores.pin) return std::nullopt;
  const auto cpus = row_of(p.settings.model).processes ? cpus_of_worker(p, worker) : p.cpus;
  return loop < cpus.size() ? std::optional(cpus[loop]) : std::nullopt;
}

std::string describe_plan(const settings& s, const cpu_set& allowed, const std::optional<cgroup_quota>& quota,
                          const core_choice& cores) {
  const auto& row = row_of(s.model);
  std::string out;
  add(out, "model", fmt::format("{}, as in {}", row.name(), row.in_the_wild));
  add(out, "", fmt::format("accepts: {}", row.accepts));
  const io_choice io = choose_io(s);
  add(out, "", row.processes ? fmt::format("does I/O: {}", row.does_io) : io_line(row, io));
  add(out, "", fmt::format("runs the handler: {}", row.runs_handler));

  add(out, "allowed CPUs", allowed.to_string());
  add(out, "cgroup quota", quota ? fmt::format("{:.2f} CPUs ({})", quota->cpus, quota->file) : "none");
  add(out, "cores", fmt::format("{} ({})", cores.cpus.size(), cores.why));
  const bool is_pool = row.processes;
  const auto models = models_of(s);
  const bool one_loop =
      std::all_of(models.begin(), models.end(), [](model_kind each) { return row_of(each).one_loop; });
  const std::size_t loops = one_loop ? 1 : is_pool ? s.processes.loops : cores.cpus.size();
  const std::string_view loop = row_of(s.model).io_blocks ? "main thread" : "loop";
  if (is_pool)
    add_workers(out, plan_pool(s, cores));
  else
    for (std::size_t i = 0; i < loops; ++i)
      add(out, "",
          s.cores.pin ? fmt::format("{} {} bound to CPU {}", loop, i, cores.cpus[i])
                      : fmt::format("{} {} on any allowed CPU", loop, i));
  if (const auto more = further_threads(s); !more.empty())
    add(out, "", more + (s.cores.pin ? " on CPU " + cpu_set(cores.cpus).to_string() : ""));

  for (std::size_t i = 0; i < s.listen.size(); ++i)
    add(out, i == 0 ? "listen" : "",
        fmt::format("{}: {}", s.listen[i],
                    is_pool ? "bound by the master, accepted by the workers" : accepted_by(s, i, loops)));
  add_balancers(out, s, io.io, loops);
  if (has_tls(s)) {
    const std::vector<std::string> certificates = tls_provided()->describe(s);
    for (std::size_t i = 0; i < certificates.size(); ++i) add(out, i == 0 ? "tls" : "", certificates[i]);
  }
  add_recording(out, s.record, has_tls(s));
  add(out, "policy",
      loops == 1 ? fmt::format("{}, of no effect with one loop", name_of(s.distribute.policy))
                 : std::string(name_of(s.distribute.policy)));
  add(out, "limits",
      fmt::format("{} connections; idle timeout {}; drain timeout {}", s.limits.connections,
                  s.limits.idle_timeout.count() == 0 ? "none" : timeout(s.limits.idle_timeout),
                  timeout(s.limits.drain_timeout)));
  if (s.limits.drain_delay.count() != 0)
    add(out, "", fmt::format("a stop serves on for {} before it drains", timeout(s.limits.drain_delay)));
  if (s.limits.excess == excess_kind::refuse) add(out, "", "a client beyond them is refused");
  if (s.limits.connections_per_ip != 0)
    add(out, "", fmt::format("{} connections of one address", s.limits.connections_per_ip));
  if (s.limits.stall.count() != 0)
    add(out, "", fmt::format("a handler that holds up its loop for {} is reported", timeout(s.limits.stall)));
  return out;
}

std::string describe_threads(const settings& s, const core_choice& cores) {
  const std::size_t loops = row_of(s.model).one_loop ? 1 : cores.cpus.size();
  const auto on = [&](std::size_t count) {
    return s.cores.pin
               ? " on CPU " +
                     cpu_set({cores.cpus.begin(), cores.cpus.begin() + static_cast<long>(count)}).to_string()
               : std::string();
  };
  std::string out =
      row_of(s.model).io_blocks ? "1 thread" : fmt::format("{} loop{}", loops, loops == 1 ? "" : "s");
  out += on(loops);
  if (const auto more = further_threads(s); !more.empty()) out += " and " + more + on(cores.cpus.size());
  return out;
}

}  // namespace weir
