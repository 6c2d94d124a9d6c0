#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

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
  for (std::size_t i = 0; i < counted_names.size(); ++i) out.add(counted_names[i], figures.count.of[i]);
  out.add("bytes_read", s.clients.read());
  out.add("bytes_written", s.clients.written());
  out.add("limit_maxbytes", s.settings.store.memory);
  out.add("accepting_conns", 1);
  out.add("threads", s.settings.threads);
  out.add("hash_bytes", figures.table);
  out.add("bytes", figures.memory);
  out.add("curr_items", figures.items);
  return std::move(out).end();
}

std::string settings(const service_settings& s) {
  const auto on = [](bool b) { return b ? "yes" : "no"; };
  lines out;
  out.add("maxbytes", s.store.memory);
  out.add("maxconns", s.connections);
  out.add("evictions", s.store.evicts ? "on" : "off");
  out.add("shutdown_command", on(s.shutdown != nullptr));
  out.add("num_threads", s.threads);
  out.add("cas_enabled", on(s.has_versions));
  out.add("item_size_max", s.store.item_limit);
  out.add("flush_enabled", on(s.allows_flush));
  out.add("hash_algorithm", "siphash13");
  return std::move(out).end();
}

// Items of all sizes are one class here: there are no slabs.
std::string items(service& s) {
  const store_figures figures = s.items.figures();
  lines out;
  if (figures.items != 0) {
    out.add("items:1:number", figures.items);
    out.add("items:1:evicted", figures.count[counted::evictions]);
    out.add("items:1:outofmemory", figures.count[counted::store_no_memory]);
    out.add("items:1:reclaimed", figures.count[counted::reclaimed]);
  }
  return std::move(out).end();
}

std::string slabs(service& s) {
  const store_figures figures = s.items.figures();
  lines out;
  if (figures.items != 0) {
    out.add("1:used_chunks", figures.items);
    out.add("1:mem_requested", figures.memory);
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
  if (name != "reset") return "ERROR\r\n";
  s.items.reset_counters();
  s.clients.reset();
  return "RESET\r\n";
}

}  // namespace cache
