// INFO: what the server tells of itself.
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include <fmt/format.h>

#include "engine.hpp"

namespace kv {
namespace {

std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  file >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::string system_name() {
  utsname names{};
  ::uname(&names);
  return fmt::format("{} {} {}", names.sysname, names.release, names.machine);
}

std::string seconds(const timeval& t) { return fmt::format("{}.{:06}", t.tv_sec, t.tv_usec); }

std::string processor_times() {
  rusage self{};
  rusage children{};
  ::getrusage(RUSAGE_SELF, &self);
  ::getrusage(RUSAGE_CHILDREN, &children);
  return fmt::format(
      "used_cpu_sys:{}\r\nused_cpu_user:{}\r\nused_cpu_sys_children:{}\r\nused_cpu_user_children:{}\r\n",
      seconds(self.ru_stime), seconds(self.ru_utime), seconds(children.ru_stime), seconds(children.ru_utime));
}

}  // namespace

std::string engine::describe_server() const {
  const std::int64_t uptime = (keys_.now() - started_) / 1000;
  return fmt::format(
      "redis_version:{}\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\nredis_build_id:0\r\n"
      "redis_mode:standalone\r\nos:{}\r\narch_bits:{}\r\nmultiplexing_api:epoll\r\ngcc_version:{}\r\n"
      "process_id:{}\r\nrun_id:{:040x}\r\ntcp_port:{}\r\nserver_time_usec:{}\r\nuptime_in_seconds:{}\r\n"
      "uptime_in_days:{}\r\nhz:10\r\nexecutable:kv\r\nconfig_file:\r\n",
      version, system_name(), 8 * sizeof(void*), __VERSION__, ::getpid(), started_, facts_.port,
      keys_.now() * 1000, uptime, uptime / 86400);
}

std::string engine::describe_memory() const {
  return fmt::format(
      "used_memory:{}\r\nused_memory_rss:{}\r\nused_memory_dataset:{}\r\nmaxmemory:{}\r\n"
      "maxmemory_policy:noeviction\r\nmem_allocator:libc\r\nmem_fragmentation_ratio:1.00\r\n"
      "lazyfree_pending_objects:0\r\n",
      keys_.memory(), resident_bytes(), keys_.memory(), limits_.memory);
}

std::string engine::describe_stats() const {
  const auto& counted = keys_.counted();
  return fmt::format(
      "total_connections_received:{}\r\ntotal_commands_processed:{}\r\ninstantaneous_ops_per_sec:0\r\n"
      "total_net_input_bytes:0\r\ntotal_net_output_bytes:0\r\nrejected_connections:0\r\nexpired_keys:{}\r\n"
      "evicted_keys:0\r\nkeyspace_hits:{}\r\nkeyspace_misses:{}\r\npubsub_channels:{}\r\n"
      "pubsub_patterns:{}\r\nlatest_fork_usec:0\r\ntotal_error_replies:0\r\n",
      clients_ever_.load(std::memory_order_relaxed), commands_run_, counted.expired, counted.hits,
      counted.misses, subscribers_.channels(), subscribers_.patterns());
}

// How long commands take is not measured.
std::string engine::describe_commands() const {
  std::string out;
  for (std::size_t i = 0; i < calls_.size(); ++i)
    if (calls_[i] != 0)
      out += fmt::format("cmdstat_{}:calls={},usec=0,usec_per_call=0.00,rejected_calls=0,failed_calls=0\r\n",
                         commands_.all()[i].name, calls_[i]);
  return out;
}

std::string engine::describe(std::string_view section) const {
  const bool is_default = section == "default";
  const bool is_all = section == "all" || section == "everything";
  std::string out;
  const auto add = [&](std::string_view name, std::string_view title, const auto& lines,
                       bool by_default = true) {
    if (section != name && !is_all && !(is_default && by_default)) return;
    if (!out.empty()) out += "\r\n";
    out += fmt::format("# {}\r\n{}", title, lines());
  };
  add("server", "Server", [&] { return describe_server(); });
  add("clients", "Clients", [&] {
    return fmt::format("connected_clients:{}\r\nmaxclients:{}\r\nblocked_clients:0\r\ntracking_clients:0\r\n",
                       clients_.load(std::memory_order_relaxed), facts_.most_clients);
  });
  add("memory", "Memory", [&] { return describe_memory(); });
  add("persistence", "Persistence", [&] {
    return fmt::format(
        "loading:0\r\nasync_loading:0\r\nrdb_changes_since_last_save:0\r\nrdb_bgsave_in_progress:0\r\n"
        "rdb_last_save_time:{}\r\nrdb_last_bgsave_status:ok\r\naof_enabled:0\r\naof_rewrite_in_progress:"
        "0\r\n",
        started_ / 1000);
  });
  add("stats", "Stats", [&] { return describe_stats(); });
  add("replication", "Replication", [&] {
    return fmt::format(
        "role:master\r\nconnected_slaves:0\r\nmaster_failover_state:no-failover\r\nmaster_replid:{:040x}\r\n"
        "master_repl_offset:0\r\nsecond_repl_offset:-1\r\nrepl_backlog_active:0\r\nrepl_backlog_size:0\r\n",
        started_);
  });
  add("cpu", "CPU", [&] { return processor_times(); });
  add("modules", "Modules", [] { return std::string(); });
  add("commandstats", "Commandstats", [&] { return describe_commands(); }, false);
  add("errorstats", "Errorstats", [] { return std::string(); });
  add("cluster", "Cluster", [] { return std::string("cluster_enabled:0\r\n"); });
  add("keyspace", "Keyspace", [&] {
    return keys_.size() == 0
               ? std::string()
               : fmt::format("db0:keys={},expires={},avg_ttl=0\r\n", keys_.size(), keys_.expiring());
  });
  return out;
}

}  // namespace kv
