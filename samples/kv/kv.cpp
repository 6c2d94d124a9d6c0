// A server of keys and values that speaks the protocol of Redis: strings, counters, bits, deadlines, scans,
// transactions, subscriptions.
//
//   kv                          on 127.0.0.1:6380, with one loop
//   redis-cli -p 6380 set greeting hello ex 60
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <new>

#include <weir/weir.hpp>

#include "serve.hpp"

using namespace std::chrono_literals;

namespace {

// Removes expired keys that no client asks for.
weir::task<> expire(kv::engine* keys) {
  for (;;) {
    bool more = false;
    try {
      keys->set_time(kv::wall_clock());
      keys->meet_clients();
      more = keys->expire();
      if (keys->keys().has_garbage()) kv::free_garbage(*keys);
    } catch (const std::bad_alloc&) {  // the next round may have memory
    }
    if (more)
      co_await weir::yield();
    else
      co_await weir::sleep_for(100ms);
  }
}

// Memory of small items goes back to the system in one go, on another thread, once much of it is free: in the
// loop that would take as long as it is much.
weir::task<> trim(kv::engine* keys) {
  constexpr std::size_t much = std::size_t{32} << 20;
  std::size_t most = 0;  // since the last time
  for (;;) {
    co_await weir::sleep_for(1s);
    const std::size_t held = keys->keys().memory();
    most = std::max(most, held);
    if (most - held < std::max(much, held)) continue;
    most = held;
    const auto give_back = [] { ::malloc_trim(0); };
    try {
      co_await weir::offload(give_back);
    } catch (const std::exception&) {  // no memory, or no thread: the next time may have it
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  weir::program about{.summary = "keys and values, by the protocol of Redis",
                      .options = "  --requirepass PASSWORD    clients must give it: AUTH PASSWORD"};
  about.defaults.listen = {"127.0.0.1:6380"};
  about.defaults.model = weir::model_kind::single_loop;
  about.defaults.limits.idle_timeout = 0ms;  // clients of this protocol keep connections that they do not use

  // Large values are blocks of the system's, which takes them back at once. The rest: see trim().
  ::mallopt(M_MMAP_THRESHOLD, kv::garbage::least);
  ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  kv::server shared;
  shared.keys.facts().most_clients = about.defaults.limits.connections;
  about.take = [&shared](std::span<const std::string> rest) -> std::size_t {
    if (rest.size() < 2 || rest[0] != "--requirepass") return 0;
    shared.keys.set_password(rest[1]);
    return 2;
  };
  weir::service_form form = weir::keeping(weir::state_kind::sharded, [&shared](weir::connection client) {
    return kv::serve(std::move(client), &shared);
  });
  form.start = [&shared](weir::core& c) {
    if (c.index() != 0) return;
    c.spawn(expire(&shared.keys));
    c.spawn(trim(&shared.keys));
  };
  return weir::run(argc, argv, std::move(form), about);
}
