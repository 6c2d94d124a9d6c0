#include "weir/workers/detail/worker_pool.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <string>

#include "server/serving.hpp"
#include "weir/connection/outbox.hpp"
#include "weir/connection/reader.hpp"
#include "weir/core/sleep.hpp"
#include "weir/task/scope.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

settings with_workers(std::uint32_t count, std::uint32_t queue) {
  settings s;
  s.listen = {"127.0.0.1:0"};
  s.cores.pin = false;
  s.limits.idle_timeout = 0ms;
  s.model = model_kind::loop_with_workers;
  s.workers.count = count;
  s.workers.queue = queue;
  return s;
}

// Answers each line; "block" holds its worker until the test lets it go.
struct lines {
  std::promise<void> blocked;
  std::promise<void> release;

  static task<> serve(connection c, lines* of) {
    reader in(c);
    while (const auto line = co_await in.until("\n")) {
      if (*line == "block") {
        of->blocked.set_value();
        of->release.get_future().wait();
      }
      const bool sent = co_await c.send("done\n");
      if (!sent) break;
    }
  }
};

}  // namespace

TEST_CASE("where the queue of workers is full, a half message gives its place to a whole one") {
  lines state;
  test::serving server(with_workers(1, 1), [&](connection c) { return lines::serve(std::move(c), &state); });
  test::client a(server.at());
  test::client b(server.at());
  test::client c(server.at());
  for (test::client* each : {&a, &b, &c}) {  // all are accepted, and wait for their first line
    REQUIRE(each->send("hello\n"));
    REQUIRE(each->receive(5) == "done\n");
  }
  REQUIRE(a.send("block\n"));
  state.blocked.get_future().wait();
  test::client d(server.at());  // takes the only place of the queue
  REQUIRE(b.send("half a mess"));
  REQUIRE(c.send("whole\n"));
  REQUIRE(d.send("whole\n"));
  state.release.set_value();
  CHECK(a.receive(5) == "done\n");
  CHECK(c.receive(5) == "done\n");
  CHECK(d.receive(5) == "done\n");
  REQUIRE(b.send("age\n"));
  CHECK(b.receive(5) == "done\n");
}

TEST_CASE("a stop reaches connections that wait for a place in the queue of workers") {
  lines state;
  test::serving server(with_workers(1, 1), [&](connection c) { return lines::serve(std::move(c), &state); });
  std::vector<test::client> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back(server.at());
    REQUIRE(clients[static_cast<std::size_t>(i)].send("hello\n"));
    REQUIRE(clients[static_cast<std::size_t>(i)].receive(5) == "done\n");
  }
  REQUIRE(clients[0].send("block\n"));
  state.blocked.get_future().wait();
  for (std::size_t i = 1; i < 4; ++i) REQUIRE(clients[i].send("whole\n"));
  server->stop();
  state.release.set_value();
  for (std::size_t i = 0; i < 4; ++i) CHECK(clients[i].receive(6) == "done\n");  // the answer, and the end
  CHECK(server.has_ended());
}

TEST_CASE("an outbox behind another coroutine's send works where handlers run on workers") {
  for (const auto io : {worker_io_kind::loop, worker_io_kind::worker}) {
    settings s = with_workers(2, 16);
    s.workers.io = io;
    const std::string much = test::pattern(4 << 20);
    std::atomic<bool> all_sent{false};
    struct handler {
      static task<> send_all(connection* to, const std::string* text, std::atomic<bool>* out) {
        const bool sent = co_await to->send(*text);
        *out = sent;
      }
      static task<> serve(connection client, const std::string* text, std::atomic<bool>* all) {
        outbox out(client, 1 << 20);
        scope children;
        children.spawn(send_all(&client, text, all));
        co_await yield();
        for (int i = 0; i < 100; ++i) out.post("tick ");
        co_await children.join();
        const auto last = co_await client.receive();
        if (last.text() != "enough") *all = false;
      }
    };
    test::serving server(
        s, [&much, &all_sent](connection c) { return handler::serve(std::move(c), &much, &all_sent); });
    test::client client(server.at());
    CHECK(client.receive(much.size()) == much);
    std::string ticks;
    for (int i = 0; i < 100; ++i) ticks += "tick ";
    CHECK(client.receive(ticks.size()) == ticks);
    REQUIRE(client.send("enough"));
    CHECK(client.receive(1).empty());
    CHECK(all_sent);
  }
}
