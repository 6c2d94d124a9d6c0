// A cache that speaks memcached's text protocol: every core serves every key, and takes memcached's flags.
//
//   cache -p 11211 -m 64
//   nc 127.0.0.1 11211        set k 0 0 5, hello, get k, stats, quit
#include <malloc.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <csignal>
#include <cstdio>
#include <fstream>

#include <weir/weir.hpp>

#include "flags.hpp"
#include "session.hpp"

namespace {

using namespace std::chrono_literals;
using cache::need;

// The session does the work; this waits for what the session needs. `shared` outlives all connections.
weir::task<> serve(weir::connection client, cache::service* shared, weir::log::limiter* strangers) {
  weir::writer out(client);
  weir::reader in(client, out, cache::session::longest_get + weir::reader::default_limit);
  cache::session session(*shared, out);
  for (;;) {
    const std::string_view buffered = in.buffered();
    std::string_view left = buffered;
    const need next = session.work(left, shared->clock.now());
    in.consume(buffered.size() - left.size());
    switch (next.what) {
      case need::kind::input: {
        const std::string_view more = co_await in.peek(next.bytes);
        if (more.size() < next.bytes) co_return;
        break;
      }
      case need::kind::flush: {
        const bool sent = co_await out.flush();
        if (!sent) co_return;
        break;
      }
      case need::kind::upload: {
        static_cast<void>(co_await out.flush());
        for (std::span<std::byte> space = session.upload_space(); !space.empty();
             space = session.upload_space()) {
          const std::size_t count = co_await client.read_some(space);
          if (count == 0) co_return;
          session.uploaded(count);
        }
        break;
      }
      case need::kind::download: {
        const std::array<std::string_view, 3> pieces{out.text(), session.download(),
                                                     cache::session::end_of_line};
        const bool sent = co_await client.send(pieces);
        out.clear();
        session.downloaded();
        if (!sent) co_return;
        break;
      }
      case need::kind::end:
        if (session.is_foreign())
          if (const auto others = strangers->pass())
            weir::log::warning("{} speaks another protocol: closed, and {} before", client.peer().to_string(),
                               *others);
        static_cast<void>(co_await out.flush());
        co_return;
    }
  }
}

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
          return serve(std::move(client), &shared, &strangers);
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
