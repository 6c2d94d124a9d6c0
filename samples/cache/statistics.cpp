#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <iterator>

#include "command.hpp"
#include "service.hpp"

namespace cache {
namespace {

class lines {
 public:
  template <class Value>
  void add(std::string_view name, const Value& value) {
    fmt::format_to(std::back_inserter(text_), "STAT {} {}\r\n", name, value);
  }
  [[nodiscard]] std::string end() && { return std::move(text_) + "END\r\n"; }

 private:
  std::string text_;
};

[[nodiscard]] std::string seconds(const timeval& t) { return fmt::format("{}.{:06}", t.tv_sec, t.tv_usec); }

// What memcached counts and monitoring asks for, and what does not exist here: no client is turned away
// without being closed at once, no thread crawls, nothing is moved between lists or slabs.
constexpr std::string_view always_zero[] = {"response_obj_oom",
                                            "read_buf_oom",
                                            "auth_cmds",
                                            "auth_errors",
                                            "listen_disabled_num",
                                            "time_in_listen_disabled_us",
                                            "conn_yields",
                                            "hash_is_expanding",
                                            "slab_reassign_rescues",
                                            "slab_reassign_chunk_rescues",
                                            "slab_reassign_evictions_nomem",
                                            "slab_reassign_inline_reclaim",
                                            "slab_reassign_busy_items",
                                            "slab_reassign_busy_deletes",
                                            "slab_reassign_running",
                                            "slabs_moved",
                                            "lru_crawler_running",
                                            "lru_crawler_starts",
                                            "lru_maintainer_juggles",
                                            "malloc_fails",
                                            "log_worker_dropped",
                                            "log_worker_written",
                                            "log_watcher_skipped",
                                            "log_watcher_sent",
                                            "log_watchers",
                                            "slab_global_page_pool",
                                            "evicted_active",
                                            "crawler_reclaimed",
                                            "crawler_items_checked",
                                            "lrutail_reflocked",
                                            "moves_to_cold",
                                            "moves_to_warm",
                                            "moves_within_lru",
                                            "direct_reclaims",
                                            "lru_bumps_dropped"};

std::string general(service& s) {
  const store_figures figures = s.items.figures();
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  lines out;
  out.add("pid", ::getpid());
  out.add("uptime", s.clock.uptime());
  out.add("time", s.clock.now().seconds);
  out.add("version", protocol_version);
  out.add("pointer_size", 8 * sizeof(void*));
  out.add("rusage_user", seconds(used.ru_utime));
  out.add("rusage_system", seconds(used.ru_stime));
  out.add("max_connections", s.settings.connections);
  out.add("curr_connections", s.clients.connections());
  out.add("total_connections", s.clients.total_connections());
  out.add("rejected_connections", 0);
  out.add("connection_structures", s.clients.connections());
  for (std::size_t i = 0; i < counted_names.size(); ++i) out.add(counted_names[i], figures.count.of[i]);
  out.add("bytes_read", s.clients.read());
  out.add("bytes_written", s.clients.written());
  out.add("limit_maxbytes", s.settings.store.memory);
  out.add("accepting_conns", 1);
  out.add("threads", s.settings.threads);
  out.add("hash_power_level", std::bit_width(figures.buckets) - 1);
  out.add("hash_bytes", figures.table);
  out.add("bytes", figures.memory);
  out.add("curr_items", figures.items);
  for (const std::string_view name : always_zero) out.add(name, 0);
  return std::move(out).end();
}

std::string settings(const service_settings& s) {
  const auto on = [](bool b) { return b ? "yes" : "no"; };
  lines out;
  out.add("maxbytes", s.store.memory);
  out.add("maxconns", s.connections);
  out.add("udpport", 0);
  out.add("verbosity", 0);
  out.add("domain_socket", "NULL");
  out.add("evictions", s.store.evicts ? "on" : "off");
  out.add("shutdown_command", on(s.shutdown != nullptr));
  out.add("num_threads", s.threads);
  out.add("detail_enabled", "no");
  out.add("cas_enabled", on(s.has_versions));
  out.add("binding_protocol", "ascii");
  out.add("auth_enabled_sasl", "no");
  out.add("auth_enabled_ascii", "no");
  out.add("item_size_max", s.store.item_limit);
  out.add("flush_enabled", on(s.allows_flush));
  out.add("hash_algorithm", "siphash13");
  out.add("maxconns_fast", "yes");
  for (const std::string_view name : {"slab_reassign", "lru_crawler", "lru_maintainer_thread",
                                      "lru_segmented", "temp_lru", "dump_enabled", "ssl_enabled"})
    out.add(name, "no");
  for (const std::string_view name :
       {"slab_automove", "lru_crawler_sleep", "lru_crawler_tocrawl", "hot_lru_pct", "warm_lru_pct",
        "hot_max_factor", "warm_max_factor", "tail_repair_time"})
    out.add(name, 0);
  return std::move(out).end();
}

// Items of all sizes are one class here: there are no slabs.
std::string items(service& s) {
  const store_figures figures = s.items.figures();
  lines out;
  if (figures.items == 0) return std::move(out).end();
  const auto add = [&out](std::string_view name, const auto& value) {
    out.add(fmt::format("items:1:{}", name), value);
  };
  add("number", figures.items);
  add("number_hot", 0);
  add("number_warm", 0);
  add("number_cold", figures.items);
  add("age_hot", 0);
  add("age_warm", 0);
  add("age", figures.age);
  add("mem_requested", figures.memory);
  add("evicted", figures.count[counted::evictions]);
  add("evicted_nonzero", figures.count[counted::evicted_nonzero]);
  add("evicted_time", figures.evicted_age);
  add("outofmemory", figures.count[counted::store_no_memory]);
  add("tailrepairs", 0);
  add("reclaimed", figures.count[counted::reclaimed]);
  add("expired_unfetched", figures.count[counted::expired_unfetched]);
  add("evicted_unfetched", figures.count[counted::evicted_unfetched]);
  for (const std::string_view name :
       {"evicted_active", "crawler_reclaimed", "crawler_items_checked", "lrutail_reflocked", "moves_to_cold",
        "moves_to_warm", "moves_within_lru", "direct_reclaims", "hits_to_hot", "hits_to_warm"})
    add(name, 0);
  add("hits_to_cold", figures.count[counted::get_hits]);
  add("hits_to_temp", 0);
  return std::move(out).end();
}

std::string slabs(service& s) {
  const store_figures figures = s.items.figures();
  lines out;
  if (figures.items != 0) {
    const auto add = [&out](std::string_view name, const auto& value) {
      out.add(fmt::format("1:{}", name), value);
    };
    constexpr std::size_t page = std::size_t{1} << 20;
    const std::size_t average = figures.memory / figures.items;
    add("chunk_size", average);
    add("chunks_per_page", page / std::max<std::size_t>(average, 1));
    add("total_pages", (figures.memory + page - 1) / page);
    add("total_chunks", figures.items);
    add("used_chunks", figures.items);
    add("free_chunks", 0);
    add("free_chunks_end", 0);
    for (const counted what :
         {counted::get_hits, counted::cmd_set, counted::delete_hits, counted::incr_hits, counted::decr_hits,
          counted::cas_hits, counted::cas_badval, counted::touch_hits})
      add(counted_names[static_cast<std::size_t>(what)], figures.count[what]);
    add("mem_requested", figures.memory);
  }
  out.add("active_slabs", figures.items != 0 ? 1 : 0);
  out.add("total_malloced", figures.memory);
  return std::move(out).end();
}

}  // namespace

std::string statistics(service& s, std::string_view what) {
  const std::string_view name = take_word(what);
  if (name.empty()) return general(s);
  if (name == "settings") return settings(s.settings);
  if (name == "items") return items(s);
  if (name == "slabs") return slabs(s);
  if (name == "sizes") return "STAT sizes_status disabled\r\nEND\r\n";
  if (name != "reset") return "ERROR\r\n";
  s.items.reset_counters();
  s.clients.reset();
  return "RESET\r\n";
}

}  // namespace cache
