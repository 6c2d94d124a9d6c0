#pragma once
// model: a concurrency model is three answers: which thread accepts, which does the I/O, which runs the
// handler. This table is all of them; a server is built from a row.

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/config/detail/names.hpp"
#include "weir/config/settings.hpp"

namespace weir {

// The threads beside the loops that run handlers.
enum class handler_threads : std::uint8_t {
  none,            // the loop runs them
  per_connection,  // one for each connection, which also does its I/O
  fixed,           // settings.workers.count of them take ready connections from one queue
  per_event        // one for each ready connection, up to settings.workers.most
};

// Whether the worker processes of a pool can be of that model.
enum class as_worker : std::uint8_t {
  never,
  if_it_asks,  // where a worker takes a connection only when it can serve it: accept_kind::shared and mutex
  always
};

struct model_row {
  model_kind kind;
  std::string_view accepts;
  std::string_view does_io;
  std::string_view runs_handler;
  std::string_view in_the_wild;
  std::string_view advice;
  bool one_loop = true;        // or one for each CPU
  bool one_at_a_time = false;  // the next connection is accepted when the present one has ended
  bool io_blocks = false;      // I/O happens in system calls that block the thread
  handler_threads threads = handler_threads::none;
  bool processes = false;    // a master and its worker processes
  bool loops_do_io = false;  // and so may have it done by io_uring; with fixed workers if workers.io = "loop"
  as_worker in_pool = as_worker::always;

  [[nodiscard]] constexpr std::string_view name() const noexcept { return name_of(kind); }
  // A handler runs on other threads than its connection's core, one after the other.
  [[nodiscard]] constexpr bool handlers_migrate() const noexcept {
    return threads == handler_threads::fixed || threads == handler_threads::per_event;
  }
  [[nodiscard]] constexpr bool handlers_run_on_loops() const noexcept {
    return threads == handler_threads::none;
  }
  // One thread does all of it.
  [[nodiscard]] constexpr bool is_one_thread() const noexcept {
    return one_loop && threads == handler_threads::none;
  }
};

// In the order of model_kind.
inline constexpr auto model_table = std::to_array<model_row>({
    {.kind = model_kind::serial,
     .accepts = "the one thread, blocking",
     .does_io = "the same thread, blocking",
     .runs_handler = "the same thread, one connection at a time",
     .in_the_wild = "teaching",
     .advice = "to see a protocol work; the second client waits for the first",
     .one_at_a_time = true,
     .io_blocks = true,
     .in_pool = as_worker::if_it_asks},
    {.kind = model_kind::thread_per_connection,
     .accepts = "the main thread, blocking",
     .does_io = "the connection's own thread, blocking",
     .runs_handler = "the connection's own thread",
     .in_the_wild = "classic Java, Apache worker",
     .advice = "for a few hundred connections whose handlers block",
     .io_blocks = true,
     .threads = handler_threads::per_connection},
    {.kind = model_kind::single_loop,
     .accepts = "the loop",
     .does_io = "the loop",
     .runs_handler = "the loop",
     .in_the_wild = "Redis",
     .advice = "when one CPU is enough: handlers share state without a lock",
     .loops_do_io = true},
    {.kind = model_kind::loop_with_workers,
     .accepts = "the loop",
     .does_io = "the loop, before and after (workers.io = \"loop\"), or the worker (\"worker\")",
     .runs_handler = "a worker thread from one queue of ready connections",
     .in_the_wild = "TinyWebServer",
     .advice = "for handlers that compute or block behind cheap I/O",
     .threads = handler_threads::fixed,
     .loops_do_io = true},
    {.kind = model_kind::loop_per_core,
     .accepts = "an acceptor loop that distributes, or the kernel",
     .does_io = "the connection's core",
     .runs_handler = "the connection's core",
     .in_the_wild = "Netty, memcached, Seastar",
     .advice = "the default: many connections, handlers that never block",
     .one_loop = false,
     .loops_do_io = true},
    {.kind = model_kind::process_pool,
     .accepts = "the workers, or the master",
     .does_io = "the worker process",
     .runs_handler = "the worker process",
     .in_the_wild = "nginx",
     .advice = "when a crash may cost one process, and for reload and upgrade without a refused connection",
     .one_loop = false,
     .processes = true,
     .loops_do_io = true,
     .in_pool = as_worker::never},
    {.kind = model_kind::thread_per_event,
     .accepts = "an acceptor loop",
     .does_io = "a short-lived thread per ready event",
     .runs_handler = "that thread",
     .in_the_wild = "teaching",
     .advice = "to measure what a thread per event costs",
     .one_loop = false,
     .threads = handler_threads::per_event},
});

[[nodiscard]] constexpr const model_row& row_of(model_kind kind) noexcept {
  return model_table[static_cast<std::size_t>(kind)];
}

// The models in which handlers run, each once: that of `s`, or those of the workers of a pool.
[[nodiscard]] std::vector<model_kind> models_of(const settings& s);

// What the worker at that index runs with: as a server of one process, in the model of that worker.
[[nodiscard]] settings settings_of_worker(const settings& s, std::uint32_t index);

// What a handler keeps beyond a connection, and so where it would go wrong.
enum class state_kind : std::uint8_t {
  per_connection,  // nothing: runs anywhere
  per_core,        // an object per core, without locks: handlers must run on cores
  sharded,         // the same, and together the objects are one that every client must find again
  per_process,     // one object with locks of its own; another process may well have another
  shared           // one object with locks of its own that every client must find again
};

// Why `s` cannot run and the nearest settings that can; nothing if it can. A refusal starts with the name of
// the key at fault, which `command_line::origin_of` traces to the place that set it.
struct refusal {
  std::string_view key;  // "model"
  std::string text;      // "model \"serial\" is not built yet; the nearest that runs is \"single-loop\""
};
[[nodiscard]] std::optional<refusal> check(const settings& s, state_kind keeps = state_kind::per_connection);

// Why no loop of `s` may wait in an io_uring, whatever the kernel has; empty if they may.
[[nodiscard]] std::string why_no_ring(const settings& s);

// The table as text, for --list-models.
[[nodiscard]] std::string list_models();

}  // namespace weir
