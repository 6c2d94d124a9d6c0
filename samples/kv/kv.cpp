// A server of keys and values that speaks the protocol of Redis: strings, counters, bits, deadlines, scans.
//
//   kv                          on 127.0.0.1:6380, with one loop
//   redis-cli -p 6380 set greeting hello ex 60
#include <chrono>
#include <new>

#include <weir/weir.hpp>

#include "engine.hpp"
#include "guest.hpp"

using namespace std::chrono_literals;

namespace {

constexpr std::size_t longest_request = std::size_t{1} << 30;

kv::milliseconds_since_1970 now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// The keys belong to the first core. The other cores do the I/O of their connections and run the received
// commands there.
weir::task<> serve(weir::connection client, kv::engine* keys, weir::log::limiter* strangers) {
  weir::core& home = weir::core::here();
  weir::core& owner = home.pool() == nullptr ? home : (*home.pool())[0];
  const bool is_away = &owner != &home;
  kv::guest here(*keys, client.peer().to_string());
  weir::writer out(client);
  weir::reader in(client, out, longest_request);
  weir::write_buffer made_away;  // the writer's memory belongs to this core

  for (;;) {
    co_await weir::switch_to(owner);
    const auto done = here.run(in.buffered(), now(), is_away ? made_away : out);
    co_await weir::switch_to(home);
    in.consume(done.bytes);
    home.count_requests(done.requests);
    if (is_away) {
      out.write(made_away.text());
      made_away.clear();
    }
    if (here.state().leaves) break;
    if (done.is_full) {
      const bool sent = co_await out.flush();
      if (!sent) break;
      continue;
    }
    const std::size_t had = in.buffered().size();
    const auto has = co_await in.peek(had + 1);
    if (has.size() == had) break;
  }
  if (here.state().is_foreign)
    if (const auto others = strangers->pass())
      weir::log::warning("{} speaks another protocol: closed, and {} before", here.state().address, *others);
  co_await out.flush();
}

// Removes expired keys that no client asks for.
weir::task<> expire(kv::engine* keys) {
  for (;;) {
    bool more = false;
    try {
      keys->set_time(now());
      more = keys->expire();
    } catch (const std::bad_alloc&) {  // the next round may have memory
    }
    if (more)
      co_await weir::yield();
    else
      co_await weir::sleep_for(100ms);
  }
}

}  // namespace

int main(int argc, char** argv) {
  weir::program about{.summary = "keys and values, by the protocol of Redis"};
  about.defaults.listen = {"127.0.0.1:6380"};
  about.defaults.model = weir::model_kind::single_loop;
  about.defaults.limits.idle_timeout = 0ms;  // clients of this protocol keep connections that they do not use

  kv::engine keys;
  weir::log::limiter strangers;
  weir::service_form form = weir::keeping(
      weir::state_kind::sharded,
      [&keys, &strangers](weir::connection client) { return serve(std::move(client), &keys, &strangers); });
  form.start = [&keys](weir::core& c) {
    if (c.index() == 0) c.spawn(expire(&keys));
  };
  return weir::run(argc, argv, std::move(form), about);
}
