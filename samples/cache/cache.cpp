// A cache that speaks memcached's text protocol: every core serves every key, and takes memcached's flags.
//
//   cache -p 11211 -m 64
//   nc 127.0.0.1 11211        set k 0 0 5, hello, get k, stats, quit
#include <malloc.h>
#include <unistd.h>

#include <bit>
#include <csignal>
#include <cstdio>
#include <fstream>

#include <weir/weir.hpp>

#include "flags.hpp"
#include "serve.hpp"

namespace {

using namespace std::chrono_literals;

std::size_t resident_bytes() {
  std::size_t all = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

// Removes expired items that no client asks for. When clients change to items of another size, the holes of
// the old items are too small for the new ones; once holes have grown to pages, the pages go back to the
// system.
weir::task<> reap(cache::service* shared) {
  const std::size_t allowed = resident_bytes() + shared->settings.store.memory / 4 * 5;
  for (;;) {
    co_await weir::sleep_for(1s);
    try {
      shared->items.reap(shared->clock.now());
      if (resident_bytes() <= allowed) continue;
      const auto trim = [] { ::malloc_trim(0); };  // some 20 ms for 64 MB
      co_await weir::offload(trim);
    } catch (const std::exception&) {  // no memory, or no thread: the next round may have it
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  weir::program program{.summary = "a cache that speaks memcached's text protocol",
                        .options = std::string(cache::flags::help)};
  program.defaults.listen = {"127.0.0.1:11211"};
  program.defaults.limits.excess = weir::excess_kind::refuse;  // as memcached: a client is not left waiting
  program.defaults.limits.idle_timeout = 0ms;                  // clients keep their connections for days
  // One heap: memory that is freed on one core is used again on another.
  ::mallopt(M_ARENA_MAX, 1);
  try {
    const std::vector<int> cpus = weir::choose_cores(weir::settings()).cpus;
    cache::flags flags = cache::read_flags({argv + 1, argv + argc}, cpus);
    // More shards than threads, so that two seldom want the same; few, so that each has items to choose from.
    flags.service.store.shards = std::bit_ceil(4 * static_cast<unsigned>(cpus.size()));
    if (flags.allows_shutdown) flags.service.shutdown = [] { static_cast<void>(std::raise(SIGINT)); };
    cache::service shared(flags.service);

    std::vector<char*> words{argv[0]};
    for (std::string& word : flags.rest) words.push_back(word.data());
    weir::log::limiter strangers;
    weir::service_form form =
        weir::keeping(weir::state_kind::shared, [&shared, &strangers](weir::connection client) {
          return cache::serve(std::move(client), &shared, &strangers);
        });
    form.start = [&shared](weir::core& c) {
      if (c.index() != 0) return;
      if (c.pool() != nullptr) shared.settings.threads = static_cast<unsigned>(c.pool()->size());
      c.spawn(reap(&shared));
    };
    return weir::run(static_cast<int>(words.size()), words.data(), std::move(form), program);
  } catch (const weir::config_error& e) {
    for (const std::string& message : e.messages()) std::fprintf(stderr, "cache: %s\n", message.c_str());
    return 2;
  }
}
