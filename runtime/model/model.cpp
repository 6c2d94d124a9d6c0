#include "weir/model/model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace weir {
namespace {

constexpr bool in_order() {
  for (std::size_t i = 0; i < model_table.size(); ++i)
    if (static_cast<std::size_t>(model_table[i].kind) != i) return false;
  return model_table.size() == names<model_kind>.size();
}

// Several sockets can be bound to it.
bool may_have_siblings(std::string_view address) {
  for (const std::string_view layer : {"proxy:", "tls:"})
    if (address.starts_with(layer)) address.remove_prefix(layer.size());
  return !address.starts_with("unix:") && !address.starts_with("fd:") && !address.starts_with("systemd:");
}

// A client address always meets the same worker process. Behind a balancer the worker is chosen by the
// address of the balancer.
bool finds_its_process(const settings& s) {
  return s.processes.accept == accept_kind::dispatch && s.distribute.policy == policy_kind::ip_hash &&
         std::none_of(s.listen.begin(), s.listen.end(),
                      [](const std::string& address) { return address.starts_with("proxy:"); });
}

// The key that says what the workers are.
std::string_view worker_key(const settings& s) {
  return s.processes.models.empty() ? "processes.model" : "processes.models";
}

// Why no worker of `s` can be of that model.
std::string why_no_worker(const settings& s, const model_row& row) {
  if (row.in_pool == as_worker::never)
    return fmt::format(
        "the workers of a pool are servers of one process, which \"{}\" is not; the nearest "
        "that runs is \"loop-per-core\"",
        row.name());
  const auto accept = s.processes.accept;
  if (row.in_pool != as_worker::if_it_asks) return {};
  if (accept != accept_kind::shared && accept != accept_kind::mutex)
    return fmt::format(
        "a worker of model \"{}\" serves one connection at a time, and with processes.accept = "
        "\"{}\" further ones would be given to it; the nearest that runs is processes.accept "
        "= \"shared\", or model \"thread-per-connection\"",
        row.name(), name_of(accept));
  if (accept == accept_kind::shared && s.listen.size() > 1)
    return fmt::format(
        "a worker of model \"{}\" has one permit, and each of {} listening sockets holds one "
        "while it waits; the nearest that runs is processes.accept = \"mutex\"",
        row.name(), s.listen.size());
  return {};
}

bool use_more_than_one_cpu(const settings& s) {
  const auto models = models_of(s);
  return std::any_of(models.begin(), models.end(),
                     [](model_kind each) { return !row_of(each).is_one_thread(); });
}

// What a process pool cannot do.
std::optional<refusal> check_pool(const settings& s) {
  const auto accept = s.processes.accept;
  for (const model_kind each : models_of(s))
    if (std::string why = why_no_worker(s, row_of(each)); !why.empty())
      return refusal{worker_key(s), std::move(why)};
  if (const auto& p = s.processes; p.count != 0 && p.count < p.models.size())
    return refusal{"processes.count",
                   fmt::format("processes.models names {} models for {} workers; the nearest that runs is "
                               "processes.count = {}",
                               p.models.size(), p.count, p.models.size())};
  if (s.processes.loops > 1 && !use_more_than_one_cpu(s))
    return refusal{
        "processes.loops",
        fmt::format("a worker of model \"{}\" is one thread, which {} CPUs do not help; the nearest "
                    "that runs is processes.loops = 1, or {} = \"loop-per-core\"",
                    name_of(s.processes.model_of(0)), s.processes.loops, worker_key(s))};
  // Threads of connections are permits too.
  const auto models = models_of(s);
  const bool by_threads = std::any_of(models.begin(), models.end(), [](model_kind each) {
    return row_of(each).threads == handler_threads::per_connection;
  });
  using limit = std::pair<std::string_view, std::uint32_t>;
  for (const auto& [key, most] : {limit("limits.connections", s.limits.connections),
                                  limit("workers.most", by_threads ? s.workers.most : UINT32_MAX)})
    if (accept == accept_kind::shared && most < s.listen.size())
      return refusal{key,
                     fmt::format("each of {} listening sockets holds a permit while it waits; the nearest "
                                 "that runs is {} = {}",
                                 s.listen.size(), key, s.listen.size())};
  if (accept == accept_kind::reuseport)
    for (const auto& address : s.listen)
      if (!may_have_siblings(address))
        return refusal{
            "processes.accept",
            fmt::format("\"reuseport\" opens several sockets on one TCP address, which \"{}\" is not; "
                        "the nearest that runs is \"shared\"",
                        address)};
  if (accept == accept_kind::notify && s.distribute.policy == policy_kind::ip_hash)
    return refusal{"distribute.policy",
                   "policy \"ip-hash\" needs the client's address, which is not known before the worker has "
                   "accepted; the nearest that runs is processes.accept = \"dispatch\""};
  return std::nullopt;
}

std::string_view told_of(as_worker what) {
  switch (what) {
    case as_worker::never: break;
    case as_worker::if_it_asks:
      return "of worker processes (processes.model) that accept as \"shared\" or \"mutex\"";
    case as_worker::always: return "of worker processes (processes.model), however they accept";
  }
  return "it is the pool";
}

static_assert(in_order(), "one row per model_kind, in its order");

}  // namespace

std::vector<model_kind> models_of(const settings& s) {
  if (!row_of(s.model).processes) return {s.model};
  std::vector<model_kind> out;
  const auto& p = s.processes;
  for (std::uint32_t i = 0; i < std::max<std::size_t>(p.models.size(), 1); ++i)
    if (const auto its = p.model_of(i); std::find(out.begin(), out.end(), its) == out.end())
      out.push_back(its);
  return out;
}

settings settings_of_worker(const settings& s, std::uint32_t index) {
  settings out = s;
  out.model = s.processes.model_of(index);
  return out;
}

std::string why_no_ring(const settings& s) {
  const auto& row = row_of(s.model);
  if (!row.loops_do_io)
    return fmt::format("in model \"{}\" {} does the I/O, and io_uring works for loops", row.name(),
                       row.does_io);
  if (row.threads == handler_threads::fixed && s.workers.io != worker_io_kind::loop)
    return "with workers.io = \"worker\" the workers do the I/O, and io_uring works for loops";
  return {};
}

std::optional<refusal> check(const settings& s, state_kind keeps) {
  const auto& row = row_of(s.model);
  if (row.processes)
    if (auto refused = check_pool(s)) return refused;
  for (const model_kind kind : models_of(s)) {
    const auto& each = row_of(kind);
    settings of_it = s;
    of_it.model = kind;
    if (const std::string why = why_no_ring(of_it); s.io == io_kind::io_uring && !why.empty())
      return refusal{
          "io",
          fmt::format("\"io_uring\": {}; the nearest that runs is io = \"epoll\" or \"auto\", or {}", why,
                      each.loops_do_io ? "workers.io = \"loop\""
                      : each.one_loop  ? "model \"single-loop\""
                                       : "model \"loop-per-core\"")};
    if (s.observe.recorder != 0 && each.io_blocks)
      return refusal{
          "observe.recorder",
          fmt::format(
              "in model \"{}\" a thread waits within its turns, and serves no other connection "
              "meanwhile that could hold it up; the nearest that records is model \"{}\"",
              each.name(),
              each.one_loop && each.threads == handler_threads::none ? "single-loop" : "loop-with-workers")};
    if ((keeps == state_kind::per_core || keeps == state_kind::sharded) && !each.handlers_run_on_loops())
      return refusal{
          row.processes ? worker_key(s) : "model",
          fmt::format("the handler keeps state per core, without locks, and in model \"{}\" {} runs it; the "
                      "nearest that runs is \"{}\"",
                      each.name(), each.runs_handler,
                      name_of(each.one_loop ? model_kind::single_loop : model_kind::loop_per_core))};
  }
  if ((keeps == state_kind::shared || keeps == state_kind::sharded) && row.processes && !finds_its_process(s))
    return refusal{"model",
                   "the handler keeps state that every client must find again, and in model \"process-pool\" "
                   "another process may serve it; the nearest that runs is \"loop-per-core\""};

  // Settings made by a program pass no table of ranges.
  if (s.limits.connections == 0)
    return refusal{"limits.connections",
                   "limits.connections = 0 would serve no client; the nearest that runs is 1"};
  if (s.workers.count == 0)
    return refusal{
        "workers.count",
        "workers.count = 0 leaves offload and worker models without a thread; the nearest that runs is 1"};
  if (s.listen.empty()) return refusal{"listen", "there is no address to listen on"};

  if (s.distribute.policy == policy_kind::compete &&
      (!row.processes || s.processes.accept != accept_kind::notify))
    return refusal{
        "distribute.policy",
        "policy \"compete\" tells every worker of a pool of a connection, and the first one takes it; the "
        "nearest that runs is model \"process-pool\" with processes.accept = \"notify\", or policy "
        "\"least-connections\""};

  const bool by_kernel = s.distribute.policy == policy_kind::kernel;
  if (by_kernel && row.one_loop)
    return refusal{
        "distribute.policy",
        fmt::format("policy \"kernel\" spreads connections over several loops and model \"{}\" has one; the "
                    "nearest that runs is policy \"least-connections\", or model \"loop-per-core\"",
                    row.name())};
  if (by_kernel && row.processes)
    return refusal{
        "distribute.policy",
        "policy \"kernel\" gives each loop a socket of its own, and the sockets of model "
        "\"process-pool\" are the master's; the nearest that runs is policy \"least-connections\""};
  if (by_kernel)
    for (const auto& address : s.listen)
      if (!may_have_siblings(address))
        return refusal{
            "distribute.policy",
            fmt::format("policy \"kernel\" opens several sockets on one TCP address, which \"{}\" is not; "
                        "the nearest that runs is policy \"least-connections\"",
                        address)};
  if (s.distribute.pin_incoming && !by_kernel)
    return refusal{
        "distribute.pin_incoming",
        fmt::format("pin_incoming lets the kernel choose by CPU, but policy \"{}\" chooses here; set "
                    "distribute.policy = \"kernel\" or pin_incoming = false",
                    name_of(s.distribute.policy))};
  if (s.distribute.pin_incoming && !s.cores.pin)
    return refusal{
        "distribute.pin_incoming",
        "pin_incoming gives a connection to the loop of a CPU, but loops are not bound to CPUs; set "
        "cores.pin = true or pin_incoming = false"};
  return std::nullopt;
}

std::string list_models() {
  std::string out;
  for (const auto& row : model_table)
    out += fmt::format(
        "{}\n  accepts:      {}\n  does I/O:     {}\n  runs handler: {}\n  in the wild:  {}\n  use it:     "
        "  {}\n  in a pool:    {}\n\n",
        row.name(), row.accepts, row.does_io, row.runs_handler, row.in_the_wild, row.advice,
        told_of(row.in_pool));
  out.pop_back();
  return out;
}

}  // namespace weir
