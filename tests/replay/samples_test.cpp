// The handlers of the samples, under recorded clients and faults. REPLAY_SEEDS: how many seeds each gets
// (20).
#include <catch2/catch.hpp>

#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "cache/serve.hpp"
#include "cart/serve.hpp"
#include "chat/room.hpp"
#include "compare/recorded_clients.hpp"
#include "echo/echo.hpp"
#include "http/content.hpp"
#include "kv/serve.hpp"
#include "proxy/join.hpp"
#include "replay/failing_new.hpp"
#include "replay/whole.hpp"
#include "sockets.hpp"
#include "weir/compare/replay.hpp"
#include "ws/send_back.hpp"

using namespace weir;
using namespace std::chrono_literals;
using test::exchanges;
using test::recorded_clients;

namespace {

using made_service = std::function<service_form()>;
using whole_answer = std::function<bool(std::string_view)>;

std::uint64_t seeds() {
  const char* const told = std::getenv("REPLAY_SEEDS");
  return told == nullptr ? 20 : std::strtoull(told, nullptr, 10);
}

void check(const recorded_clients& all, const made_service& make, const replay_options& how) {
  log::set_level(log::level::off);  // each client that leaves is a line
  const auto done = replay_seeds(all.content(), make, seeds(), how);
  log::set_level(log::level::info);
  INFO(done.failure);
  CHECK(done);
}

// Clients that act on each other keep their order.
void check_in_order(const recorded_clients& all, const made_service& make) {
  check(all, make, {.faults = replay_faults::of_timing(1)});
}

// Clients with things of their own come in any order, leave, and find a server without memory.
void check_apart(const recorded_clients& all, const made_service& make, whole_answer is_whole) {
  replay_options how{.faults = replay_faults::of_timing(1)};
  how.faults.reorder = true;
  check(all, make, how);
  how.faults.leave = true;
  check(all, make, how);
  how.faults.leave = false;
  how.faults.failure = true;
  how.is_whole = std::move(is_whole);
  how.fail = test::fail_allocation;
  check(all, make, how);
}

service_form of_connections(connection_handler h) {
  return keeping(state_kind::per_connection, std::move(h));
}

}  // namespace

TEST_CASE("echo answers recorded clients under faults") {
  const std::string much = test::pattern(30'000);
  recorded_clients all;
  for (int i = 0; i < 4; ++i) {
    const std::string name(1, static_cast<char>('a' + i));
    all.add(3ms * i, 2ms, {{name, name}, {much, much}, {name + "\n", name + "\n"}});
  }
  check_apart(all, [] { return of_connections(echo); }, [](std::string_view) { return true; });
}

TEST_CASE("http answers recorded clients under faults") {
  const auto get = [](const std::string& path) { return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n"; };
  const std::string posts = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
  const std::string chunks =
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
  recorded_clients all(false);
  for (int i = 0; i < 3; ++i) {
    all.add(2ms * i, 5ms, {{get("/plain"), ""}, {get("/json") + posts + get("/plain"), ""}, {chunks, ""}});
    all.add(2ms * i, 5ms, {{get("/nothing"), ""}, {get("/"), ""}, {get("/plain") + "GARBAGE\r\n\r\n", ""}});
  }
  const auto make = [] {
    struct state {
      content files;
      census cores;
    };
    const auto kept = std::make_shared<state>();
    const auto serve = site_of(kept->files, kept->cores).handler();
    return of_connections([kept, serve](connection client) { return serve(std::move(client)); });
  };
  check_apart(all, make, test::whole::http);
}

namespace {

service_form make_kv() {
  const auto kept = std::make_shared<kv::server>();
  return keeping(state_kind::sharded,
                 [kept](connection client) { return kv::serve(std::move(client), kept.get()); });
}

std::string resp(std::initializer_list<std::string> words) {
  std::string out = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) out += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  return out;
}

}  // namespace

TEST_CASE("kv answers recorded clients that share keys, transactions and channels, under faults") {
  const std::string big(1'500'000, 'x');  // its memory is freed on another thread
  recorded_clients all;
  all.add(0us, 10ms,
          {{resp({"SET", "k", "v"}), "+OK\r\n"},
           {resp({"INCR", "n"}) + resp({"INCR", "n"}), ":1\r\n:2\r\n"},
           {resp({"WATCH", "n"}) + resp({"MULTI"}), "+OK\r\n+OK\r\n"},
           {resp({"INCR", "n"}), "+QUEUED\r\n"},
           {resp({"EXEC"}), "*-1\r\n"}});
  all.add(2ms, 10ms,
          {{resp({"GET", "k"}), "$1\r\nv\r\n"},
           {"GET n\r\n", "$1\r\n2\r\n"},
           {resp({"SET", "big", big}), "+OK\r\n"},
           {resp({"INCR", "n"}), ":3\r\n"},
           {resp({"STRLEN", "big"}) + resp({"DEL", "big"}), ":1500000\r\n:1\r\n"}});
  all.add(4ms, 10ms,
          {{resp({"SUBSCRIBE", "c"}), "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"},
           {resp({"PING"}), "*2\r\n$4\r\npong\r\n$0\r\n\r\n"},
           {resp({"UNSUBSCRIBE", "c"}),
            "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n"},
           {resp({"PING"}), "+PONG\r\n"}});
  all.add(15ms, 10ms, {{resp({"PUBLISH", "c", "hi"}), ":1\r\n"}, {resp({"PUBLISH", "c", "hi"}), ":0\r\n"}});
  check_in_order(all, make_kv);
}

TEST_CASE("kv answers recorded clients with keys of their own in any order and without memory") {
  const std::string value = test::pattern(5000);
  recorded_clients all(false);
  for (int i = 0; i < 4; ++i) {
    const std::string key = "key" + std::to_string(i);
    all.add(
        1ms * i, 3ms,
        {{resp({"SET", key, value}), ""},
         {resp({"GET", key}) + resp({"APPEND", key, "tail"}) + resp({"STRLEN", key}), ""},
         {resp({"MSET", key + "a", "1", key + "b", "2"}) + resp({"MGET", key + "a", key + "b", "none"}), ""},
         {resp({"MULTI"}) + resp({"INCR", key + "a"}) + resp({"DEL", key}) + resp({"EXEC"}), ""}});
  }
  check_apart(all, make_kv, test::whole::resp);
}

namespace {

service_form make_cache() {
  struct state {
    cache::service shared{[] {
      cache::service_settings s;
      s.store.memory = std::size_t{8} << 20;
      return s;
    }()};
    log::limiter strangers;
  };
  const auto kept = std::make_shared<state>();
  return keeping(state_kind::shared, [kept](connection client) {
    return cache::serve(std::move(client), &kept->shared, &kept->strangers);
  });
}

}  // namespace

TEST_CASE("cache answers recorded clients under faults") {
  const std::string big = test::pattern(20'000);  // it is received into its item, and sent from there
  recorded_clients shared;
  shared.add(0us, 10ms,
             {{"set k 0 0 5\r\nhello\r\n", "STORED\r\n"}, {"get k\r\n", "VALUE k 0 6\r\nhello!\r\nEND\r\n"}});
  shared.add(
      2ms, 10ms,
      {{"append k 0 0 1\r\n!\r\n", "STORED\r\n"}, {"delete k\r\n", "DELETED\r\n"}, {"get k\r\n", "END\r\n"}});
  check_in_order(shared, make_cache);

  recorded_clients all;
  for (int i = 0; i < 4; ++i) {
    const std::string key = "key" + std::to_string(i);
    all.add(1ms * i, 3ms,
            {{"set " + key + " 7 0 20000\r\n" + big + "\r\n", "STORED\r\n"},
             {"get " + key + "\r\n", "VALUE " + key + " 7 20000\r\n" + big + "\r\nEND\r\n"},
             {"set n" + key + " 0 0 1\r\n5\r\nincr n" + key + " 6\r\n", "STORED\r\n11\r\n"},
             {"ms m" + key + " 2\r\nab\r\nmg m" + key + " v\r\n", "HD\r\nVA 2\r\nab\r\n"},
             {"get n" + key + " none m" + key + "\r\nquit\r\n",
              "VALUE n" + key + " 0 2\r\n11\r\nVALUE m" + key + " 0 2\r\nab\r\nEND\r\n"}});
  }
  check_apart(all, make_cache, test::whole::memcached);
}

TEST_CASE("chat tells the members of a room what recorded clients say, under faults") {
  recorded_clients all;
  all.add(0us, 10ms,
          {{"/nick ann\n", ""},
           {"hello\n", "ann: hello\n"},
           {"are you there\n", "ann: are you there\nbob: yes\n"},
           {"/quit\n", ""}});
  all.add(11ms, 10ms, {{"/nick bob\n", "ann: hello\nann: are you there\n"}, {"yes\n", "bob: yes\n"}});
  all.add(12ms, 20ms,
          {{"/join garden\n/nick cy\n", "ann: hello\nann: are you there\nbob: yes\n"},
           {"alone\n", "cy: alone\n"}});
  check_in_order(all, [] { return keeping(state_kind::sharded, chat); });

  recorded_clients apart;
  for (int i = 0; i < 4; ++i) {
    const std::string name = "room" + std::to_string(i);
    apart.add(1ms * i, 3ms,
              {{"/join " + name + "\n/nick " + name + "\n", ""},
               {"a\nb\n", name + ": a\n" + name + ": b\n"},
               {"/quit\n", ""}});
  }
  check_apart(apart, [] { return keeping(state_kind::sharded, chat); }, test::whole::lines);
}

TEST_CASE("cart answers recorded clients under faults") {
  static const std::string nowhere;
  const auto make = [] {
    return keeping(state_kind::sharded,
                   [](connection client) { return cart::serve(std::move(client), &nowhere); });
  };
  recorded_clients shared;
  shared.add(0us, 10ms,
             {{"cart ann\nadd tea 2\n", "ok\nok\n"}, {"show\n", "milk 1\ntea 2\n.\n"}, {"bye\n", ""}});
  shared.add(12ms, 5ms,
             {{"cart ann\nadd milk 1\n", "ok\nok\n"}, {"add milk x\n", "error: add ITEM COUNT\n"}});
  check_in_order(shared, make);

  recorded_clients apart;
  for (int i = 0; i < 4; ++i)
    apart.add(1ms * i, 3ms,
              {{"cart " + std::to_string(i) + "\nadd tea 2\n", "ok\nok\n"},
               {"ready\nadd tea 1\nshow\n", "ready\nok\ntea 3\n.\n"},
               {"empty\nshow\n", "ok\n.\n"}});
  check_apart(apart, make, test::whole::lines);
}

namespace {

// What a client sends: masked, with a mask of zeros.
std::string framed(unsigned char head, const std::string& payload) {
  std::string out(1, static_cast<char>(head));
  if (payload.size() < 126) {
    out += static_cast<char>(0x80 | payload.size());
  } else {
    out += static_cast<char>(0x80 | 126);
    out += static_cast<char>(payload.size() >> 8);
    out += static_cast<char>(payload.size() & 0xff);
  }
  return out.append(4, '\0').append(payload);
}

}  // namespace

TEST_CASE("ws answers recorded clients under faults") {
  const std::string upgrade =
      "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  const unsigned char text = 0x81, binary = 0x82, close = 0x88, ping = 0x89;
  const std::string much = test::pattern(40'000);
  recorded_clients all(false);
  for (int i = 0; i < 3; ++i) {
    all.add(2ms * i, 5ms,
            {{upgrade, ""},
             {framed(text, "one"), ""},
             {framed(binary, much), ""},
             {framed(ping, "?") + framed(text, "two"), ""},
             {framed(close, ""), ""}});
    all.add(2ms * i, 5ms, {{upgrade + framed(text, "early"), ""}, {"\x81\x01x", ""}});  // without a mask
    all.add(2ms * i, 5ms, {{"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n", ""}});
  }
  const auto make = [] {
    http::site site;
    site.routes.get("/echo", send_back);
    return of_connections(site.handler());
  };
  check_apart(all, make, test::whole::websocket);
}

namespace {

// The server behind a proxy: answers each line with much of it. It is no part of what is tested, so what
// finds no memory in it is done again.
task<> answer_lines(connection server) {
  reader in(server);
  std::string answer;
  for (bool is_asked = false;;) {
    try {
      if (!is_asked) {
        const auto line = co_await in.until("\n");
        if (!line) co_return;
        answer = std::string(*line) + test::pattern(30'000) + "\n";
        is_asked = true;
      }
      const bool is_sent = co_await server.send(answer);
      if (!is_sent) co_return;
      is_asked = false;
    } catch (const std::bad_alloc&) {
    }
  }
}

}  // namespace

TEST_CASE("proxy passes on what recorded clients and their server say, under faults") {
  for (const char* version : {"", "v1"}) {
    CAPTURE(version);
    recorded_clients all(false);
    for (int i = 0; i < 3; ++i) {
      const std::string name = "client " + std::to_string(i);
      all.add(1ms * i, 3ms, {{name + "\n", ""}, {test::pattern(50'000) + "\n", ""}, {name, ""}, {"\n", ""}});
      all.add(1ms * i, 3ms, {{"a\nb\n" + name + "\nonly a part", ""}});
    }
    const auto make = [version] {
      return of_connections([version](connection client) -> task<> {
        connection_pair upstream;
        core::here().spawn(answer_lines(std::move(upstream.server)));
        co_await join(std::move(client), std::move(upstream.client), version);
      });
    };
    check_apart(all, make, test::whole::lines);
  }
}
