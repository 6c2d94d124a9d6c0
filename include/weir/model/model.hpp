#pragma once
// model: a concurrency model is three answers: who accepts, who does the I/O, who runs the handler. This
// table is all of them; a server is built from a row.

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "weir/config/names.hpp"
#include "weir/config/settings.hpp"

namespace weir {

struct model_row {
  model_kind kind;
  std::string_view accepts;
  std::string_view does_io;
  std::string_view runs_handler;
  std::string_view in_the_wild;
  std::string_view advice;
  bool one_loop;       // or one for each CPU
  bool available;      // this release runs it
  model_kind nearest;  // what to take instead while it does not

  [[nodiscard]] constexpr std::string_view name() const noexcept { return name_of(kind); }
};

// In the order of model_kind.
inline constexpr auto model_table = std::to_array<model_row>({
    {model_kind::serial, "the one thread, blocking", "the same thread, blocking",
     "the same thread, one connection at a time", "teaching",
     "to see a protocol work; the second client waits for the first", true, true, model_kind::serial},
    {model_kind::thread_per_connection, "the main thread, blocking", "the connection's own thread, blocking",
     "the connection's own thread", "classic Java, Apache worker",
     "for a few hundred connections whose handlers block", true, true, model_kind::thread_per_connection},
    {model_kind::single_loop, "the loop", "the loop", "the loop", "Redis",
     "when one CPU is enough: handlers share state without a lock", true, true, model_kind::single_loop},
    {model_kind::loop_with_workers, "the loop",
     "the loop, before and after (workers.io = \"loop\"), or the worker (\"worker\")",
     "a worker thread from one queue of ready connections", "TinyWebServer",
     "for handlers that compute or block behind cheap I/O", true, true, model_kind::loop_with_workers},
    {model_kind::loop_per_core, "an acceptor loop that distributes, or the kernel", "the connection's core",
     "the connection's core", "Netty, memcached, Seastar",
     "the default: many connections, handlers that never block", false, true, model_kind::loop_per_core},
    {model_kind::process_pool, "the workers, or the master", "the worker process", "the worker process",
     "nginx", "when a crash may cost one process, and for reload and upgrade without a refused connection",
     false, true, model_kind::process_pool},
    {model_kind::thread_per_event, "an acceptor loop", "a short-lived thread per ready event", "that thread",
     "teaching", "to measure what a thread per event costs", false, true, model_kind::thread_per_event},
});

[[nodiscard]] constexpr const model_row& row_of(model_kind kind) noexcept {
  return model_table[static_cast<std::size_t>(kind)];
}

// What a handler keeps beyond a connection, and so where it would go wrong.
enum class state_kind : std::uint8_t {
  per_connection,  // nothing: runs anywhere
  per_core,        // an object per core, without locks: handlers must run on cores
  sharded,         // the same, and together the objects are one that every client must find again
  per_process,     // one object with locks of its own; another process may well have another
  shared           // one object with locks of its own that every client must find again
};

// Why `s` cannot run and the nearest settings that can; nothing if it can. A refusal starts with the name of
// the key at fault, which `command_line::origin_of` traces to whoever set it.
struct refusal {
  std::string_view key;  // "model"
  std::string text;      // "model \"serial\" is not built yet; the nearest that runs is \"single-loop\""
};
[[nodiscard]] std::optional<refusal> check(const settings& s, state_kind keeps = state_kind::per_connection);

// The table as text, for --list-models.
[[nodiscard]] std::string list_models();

}  // namespace weir
