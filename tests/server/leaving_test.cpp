// What a server does between the order to stop and the drain: settings.limits.drain_delay.
#include "weir/connection/detail/departure.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <thread>

#include "serving.hpp"
#include "sockets.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

settings delayed(std::chrono::milliseconds delay, model_kind model = model_kind::loop_per_core) {
  settings s;
  s.listen = {"127.0.0.1:0"};
  s.model = model;
  s.cores.pin = false;
  s.limits.drain_delay = delay;
  return s;
}

// Answers each byte with what its connection says of the server.
task<> tell(connection c) {
  while (auto data = co_await c.receive()) {
    const bool stops = c.is_stopping();
    const bool leaves = c.is_leaving();
    co_await c.send(stops ? "s" : leaves ? "l" : "-");
  }
}

std::string ask(test::client& c) { return c.send("x") ? c.receive(1) : "no answer"; }

bool leaves_at_last(test::client& c) {
  return test::eventually([&] { return ask(c) == "l"; });
}

}  // namespace

TEST_CASE("a stop serves on for the drain delay, those who come meanwhile too, and handlers know it") {
  for (const auto model : {model_kind::loop_per_core, model_kind::single_loop, model_kind::loop_with_workers,
                           model_kind::thread_per_connection, model_kind::thread_per_event}) {
    test::serving s(delayed(1h, model), tell);
    test::client first(s.at());
    CHECK(ask(first) == "-");
    s->stop();
    CHECK(leaves_at_last(first));
    test::client second(s.at());
    CHECK(ask(second) == "l");
    s->drain();
    CHECK(first.is_closed());
    CHECK(second.is_closed());
    CHECK(s.has_ended());
    CHECK_FALSE(s->cut_short());
  }
}

TEST_CASE("the drain follows the delay by itself") {
  test::serving s(delayed(50ms), tell);
  test::client c(s.at());
  CHECK(ask(c) == "-");
  const auto before = std::chrono::steady_clock::now();
  s->stop();
  CHECK(c.is_closed());
  CHECK(s.has_ended());
  CHECK(std::chrono::steady_clock::now() - before >= 50ms);
}

TEST_CASE("a second stop does not end the delay") {
  test::serving s(delayed(1h), tell);
  test::client c(s.at());
  CHECK(ask(c) == "-");
  s->stop();
  CHECK(leaves_at_last(c));
  s->stop();
  test::client late(s.at());
  CHECK(ask(late) == "l");
  CHECK(ask(c) == "l");
  s->cut();
  CHECK(s.has_ended());
}

TEST_CASE("a server that serves nobody yet has no delay") {
  server s(delayed(1h), tell);
  s.stop();
  s.run();
  CHECK(s.connections() == 0);
}

TEST_CASE("a delay that is read again counts for a stop that comes later") {
  test::serving s(delayed(0ms), tell);
  test::client c(s.at());
  CHECK(ask(c) == "-");
  limit_settings fresh;
  fresh.drain_delay = 1h;
  s->cores()[0].post([&] {
    s->take_limits(fresh);
    s->stop();
  });
  CHECK(leaves_at_last(c));
  s->drain();
  CHECK(c.is_closed());
  CHECK(s.has_ended());
}
