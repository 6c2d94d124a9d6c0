// A server of keys and values that speaks the protocol of Redis: strings, counters, bits, deadlines, scans.
//
//   kv                          on 127.0.0.1:6380, with one loop
//   redis-cli -p 6380 set greeting hello ex 60
#include <chrono>

#include <weir/weir.hpp>

#include "engine.hpp"
#include "request_parser.hpp"

using namespace std::chrono_literals;

namespace {

constexpr std::size_t most_unsent = 256 * 1024;  // bytes of answers, before they are sent
constexpr std::size_t longest_request = std::size_t{1} << 30;

kv::milliseconds_since_1970 now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// One client, as long as it is connected.
class guest {
 public:
  guest(kv::engine& host, const weir::connection& from) : host_(host) {
    state_.id = host.welcome();
    state_.address = from.peer().to_string();
  }
  guest(const guest&) = delete;
  guest& operator=(const guest&) = delete;
  ~guest() { host_.see_off(); }

  struct progress {
    std::size_t bytes;  // of requests that have been run
    bool is_full;       // the answers want to be sent before more are made
  };

  // Runs the requests that are complete.
  progress run(std::string_view input, weir::write_buffer& answers) {
    using result = kv::request_parser::result;
    std::size_t done = 0;
    host_.set_time(now());
    parser_.set_longest_bulk(host_.limits().longest_string);
    for (;;) {
      kv::request_batch& batch = host_.batch();
      std::size_t parsed = done;
      result last;
      do {
        last = parser_.parse(input.substr(parsed));
        if (last != result::complete) break;
        parsed += parser_.size();
      } while (batch.add(parser_.words(), parsed, parser_.is_in_place()));

      const std::size_t wanted = batch.size();
      const std::size_t ran = host_.run_batch(state_, answers, most_unsent);
      if (ran < wanted) {
        parser_.start_over();
        return {ran == 0 ? done : batch[ran - 1].end, !state_.leaves};
      }
      done = parsed;
      if (last == result::complete) continue;
      if (last == result::refused && !state_.leaves) {
        kv::reply(answers).error("ERR " + parser_.error());
        state_.leaves = true;
      }
      return {done, false};
    }
  }

  [[nodiscard]] bool leaves() const noexcept { return state_.leaves; }
  [[nodiscard]] const kv::client_state& state() const noexcept { return state_; }

 private:
  kv::engine& host_;
  kv::client_state state_;
  kv::request_parser parser_;
};

// The keys belong to the first core. Of several, the others do the I/O of their connections and go there with
// what has come.
weir::task<> serve(weir::connection client, kv::engine* keys) {
  weir::core& home = weir::core::here();
  weir::core& owner = home.pool() == nullptr ? home : (*home.pool())[0];
  const bool is_away = &owner != &home;
  guest here(*keys, client);
  weir::writer out(client);
  weir::reader in(client, out, longest_request);
  weir::write_buffer made_away;  // the writer's memory belongs to this core

  for (;;) {
    co_await weir::switch_to(owner);
    const auto done = here.run(in.buffered(), is_away ? made_away : out);
    co_await weir::switch_to(home);
    in.consume(done.bytes);
    if (is_away) {
      out.write(made_away.text());
      made_away.clear();
    }
    if (here.leaves()) break;
    if (done.is_full) {
      const bool sent = co_await out.flush();
      if (!sent) break;
      continue;
    }
    const std::size_t had = in.buffered().size();
    const auto has = co_await in.peek(had + 1);
    if (has.size() == had) break;
  }
  if (here.state().is_foreign) weir::log::warning("{} speaks another protocol: closed", here.state().address);
  co_await out.flush();
}

// Keys that nobody asks for go too.
weir::task<> expire(kv::engine* keys) {
  for (;;) {
    keys->set_time(now());
    if (keys->expire())
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
  weir::service_form form = weir::keeping(weir::state_kind::sharded, [&keys](weir::connection client) {
    return serve(std::move(client), &keys);
  });
  form.start = [&keys](weir::core& c) {
    if (c.index() == 0) c.spawn(expire(&keys));
  };
  return weir::run(argc, argv, std::move(form), about);
}
