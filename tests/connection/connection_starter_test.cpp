#include "weir/connection/detail/connection_starter.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "loop.hpp"
#include "output.hpp"
#include "weir/core/test_core.hpp"

using namespace weir;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

task<> echo(connection c) {
  while (auto data = co_await c.receive()) co_await c.send(data);
}

struct fixture {
  explicit fixture(connection_handler h, const settings& s = {})
      : handler(std::move(h)), l(s), here(l.core(), s, handler, all) {}
  ~fixture() { l.destroy(); }

  // A socket that has been accepted, and the client at its other end.
  accepted_socket accepted() {
    auto ends = test::tcp_pair();
    test::make_non_blocking(ends.a.get());
    clients.push_back(std::move(ends.b));
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    ::getpeername(ends.a.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return {std::move(ends.a), peer_address::from(reinterpret_cast<const sockaddr*>(&address), size),
            all.try_acquire()};
  }

  permit_pool all{1000};
  connection_handler handler;
  std::vector<unique_fd> clients;
  test::loop l;
  connection_starter here;
};

}  // namespace

TEST_CASE("a delivered socket is served by the handler, and counts until that has ended") {
  fixture f(echo);
  f.l.core().post([&] { f.here.deliver(f.accepted()); });
  f.l.run(test::until([&] { return !f.clients.empty(); }));
  CHECK(f.here.load() == 1);
  CHECK(f.all.in_use() == 1);
  test::put(f.clients[0].get(), "hello");
  std::string got;
  f.l.run(test::until([&] {
    got += test::drained(f.clients[0].get());
    return got == "hello";
  }));
  ::shutdown(f.clients[0].get(), SHUT_WR);
  f.l.run(test::until([&] { return f.here.load() == 0; }));
  CHECK(f.all.in_use() == 0);
}

TEST_CASE("a socket from another thread counts at once and is served on the core's thread") {
  struct {
    std::vector<std::thread::id> on;
  } seen;
  fixture f([&seen](connection c) {
    seen.on.push_back(std::this_thread::get_id());
    return echo(std::move(c));
  });
  std::vector<accepted_socket> sockets;
  for (int i = 0; i < 50; ++i) sockets.push_back(f.accepted());
  std::jthread([&] {
    for (auto& s : sockets) f.here.deliver(std::move(s));
  }).join();
  CHECK(f.here.load() == 50);
  CHECK(seen.on.empty());
  f.l.run(test::until([&] { return seen.on.size() == 50; }));
  CHECK(std::ranges::count(seen.on, std::this_thread::get_id()) == 50);
}

TEST_CASE("what waits for a core that does not turn can be taken back, and counts no more") {
  fixture f(echo);
  accepted_socket socket = f.accepted();
  std::jthread([&] { f.here.deliver(std::move(socket)); }).join();
  CHECK(f.here.waiting() == 1);
  CHECK(test::eventually([&] { return f.here.is_held(); }));
  auto back = f.here.take_back();
  REQUIRE(back.size() == 1);
  CHECK((back[0].fd && back[0].permit));
  CHECK(f.here.waiting() == 0);
  CHECK(f.here.load() == 0);
  CHECK(f.all.in_use() == 1);
  CHECK(f.here.is_held());  // until it turns
  f.l.run(test::until([&] { return !f.here.is_held(); }));
  f.here.ask();
  CHECK(test::eventually([&] { return f.here.is_held(); }));
  f.l.run(test::until([&] { return !f.here.is_held(); }));
}

TEST_CASE("a handler that throws before it is a coroutine drops its connection only, and is logged") {
  int calls = 0;
  fixture f([&calls](connection c) {
    if (++calls == 1) throw std::runtime_error("not today");
    return echo(std::move(c));
  });
  const test::output log(2);
  f.l.core().post([&] {
    auto first = f.accepted();
    auto second = f.accepted();
    f.here.deliver(std::move(first));
    f.here.deliver(std::move(second));
  });
  f.l.run(test::until([&] { return calls == 2; }));
  f.l.run(test::rounds());
  CHECK(f.here.load() == 1);
  CHECK(f.all.in_use() == 1);
  CHECK_THAT(log.text(), Contains("dropped: not today"));
  char one;
  CHECK(test::wait_readable(f.clients[0].get()));
  CHECK(::recv(f.clients[0].get(), &one, 1, MSG_DONTWAIT) == 0);
}

// A connection_starter on a core in the time of the test.
struct timed {
  explicit timed(connection_handler h, const settings& s = {})
      : handler(std::move(h)), core(test::over_io_of_run(s)), here(*core, s, handler, all) {}

  // The other end of a connection that is served.
  unique_fd delivered(std::string_view request = {}) {
    auto ends = test::unix_pair();
    test::make_non_blocking(ends.a.get());
    test::put(ends.b.get(), request);
    here.deliver({std::move(ends.a), {}, all.try_acquire()});
    core.settle();
    return std::move(ends.b);
  }

  permit_pool all{1000};
  connection_handler handler;
  test_core core;
  connection_starter here;
};

// Reads lines of five bytes and answers each after a second.
task<> answer_slowly(connection c, std::vector<ending>* out) {
  std::array<std::byte, 5> line;
  while (co_await c.read_exactly(line)) {
    co_await sleep_for(1s);
    co_await c.send(line);
  }
  out->push_back(c.end());
}

bool is_ended(const unique_fd& fd) {
  char one;
  return ::recv(fd.get(), &one, 1, MSG_DONTWAIT) == 0;
}

TEST_CASE("connections have the idle timeout of the settings") {
  settings s;
  s.limits.idle_timeout = 30s;
  std::vector<ending> ends;
  timed t([&](connection c) { return answer_slowly(std::move(c), &ends); }, s);
  const auto client = t.delivered();
  t.core.advance(29s);
  CHECK(ends.empty());
  t.core.advance(1s);
  CHECK(ends == std::vector{ending::idle});
  CHECK(t.here.load() == 0);
}

TEST_CASE(
    "of those who are told to stop the idle end at once, the busy with their answer, the slow when cut") {
  std::vector<ending> ends;
  settings s;
  s.limits.idle_timeout = 0ms;
  timed t([&](connection c) { return answer_slowly(std::move(c), &ends); }, s);
  const auto idle = t.delivered();
  const auto busy = t.delivered("line\n");
  const auto slow = t.delivered("li");
  t.here.stop();
  t.core.settle();
  CHECK(ends == std::vector{ending::stopping});
  CHECK(is_ended(idle));
  CHECK(t.here.load() == 2);

  t.core.advance(999ms);
  CHECK(test::drained(busy.get()).empty());
  t.core.advance(1ms);
  CHECK(test::drained(busy.get()) == "line\n");
  CHECK(is_ended(busy));

  t.core.advance(24h);  // what has begun is waited for, as long as nobody says otherwise
  CHECK(t.here.load() == 1);
  t.here.cancel();
  t.core.settle();
  CHECK(t.here.load() == 0);
  CHECK(t.all.in_use() == 0);
}

// Answers one line of five bytes, and parks.
task<> answer_and_park(connection c, int* handlers) {
  ++*handlers;
  std::array<std::byte, 5> line;
  const bool whole = co_await c.read_exactly(line);
  if (!whole) co_return;
  co_await c.send(line);
  co_return c.park();
}

TEST_CASE("a parked connection stays open without a handler, and a new one starts when bytes come") {
  int handlers = 0;
  timed t([&](connection c) { return answer_and_park(std::move(c), &handlers); });
  const auto client = t.delivered("line1");
  for (int i = 1; i <= 100; ++i) {
    CHECK(test::drained(client.get()) == "line1");
    t.core.advance(10s);
    REQUIRE(handlers == i);
    CHECK(t.here.load() == 1);
    test::put(client.get(), "line1");
    t.core.settle();
  }
  CHECK(t.all.in_use() == 1);
}

TEST_CASE("input that came before its handler parked is not waited for") {
  int handlers = 0;
  timed t([&](connection c) { return answer_and_park(std::move(c), &handlers); });
  const auto client = t.delivered("line1line2line3");
  CHECK(test::drained(client.get()) == "line1line2line3");
  CHECK(handlers == 3);
}

TEST_CASE("a parked connection is closed when its peer closes or says nothing for the idle timeout") {
  settings s;
  s.limits.idle_timeout = 30s;
  int handlers = 0;
  timed t([&](connection c) { return answer_and_park(std::move(c), &handlers); }, s);
  const auto silent = t.delivered("line1");
  auto leaving = t.delivered("line1");
  CHECK(t.all.in_use() == 2);
  leaving.reset();
  t.core.settle();
  CHECK(t.all.in_use() == 1);
  t.core.advance(29s);
  CHECK(t.all.in_use() == 1);
  t.core.advance(1s);
  CHECK(t.all.in_use() == 0);
  CHECK(test::drained(silent.get()) == "line1");
  CHECK(is_ended(silent));
  CHECK(handlers == 2);
}

TEST_CASE("a stop ends parked connections, and answers first what has come") {
  int handlers = 0;
  timed t([&](connection c) { return answer_and_park(std::move(c), &handlers); });
  const auto idle = t.delivered("line1");
  const auto busy = t.delivered("line1");
  test::put(busy.get(), "line2");
  t.here.stop();
  t.core.settle();
  CHECK(test::drained(idle.get()) == "line1");
  CHECK(is_ended(idle));
  CHECK(test::drained(busy.get()) == "line1line2");
  CHECK(is_ended(busy));
  CHECK(t.all.in_use() == 0);
}

TEST_CASE("parked connections are cut with the rest, and go with their core") {
  int handlers = 0;
  std::vector<unique_fd> clients;
  {
    timed t([&](connection c) { return answer_and_park(std::move(c), &handlers); });
    clients.push_back(t.delivered("line1"));
    t.here.cancel();
    t.core.settle();
    CHECK(t.all.in_use() == 0);
    clients.push_back(t.delivered("line1"));
  }
  for (const auto& c : clients) {
    CHECK(test::drained(c.get()) == "line1");
    CHECK(is_ended(c));
  }
}

TEST_CASE("a handler that throws after parking closes its connection") {
  const test::output log(2);
  timed t([](connection c) -> task<> {
    co_await sleep_for(1s);
    c.park();
    throw std::runtime_error("after all");
  });
  const auto client = t.delivered();
  t.core.advance(1s);
  CHECK(is_ended(client));
  CHECK(t.all.in_use() == 0);
}

TEST_CASE("parked connections are given away when the server stops, again if there was no room") {
  int handlers = 0;
  int asked = 0;
  std::vector<unique_fd> given;
  timed t([&](connection c) { return answer_and_park(std::move(c), &handlers); });
  t.here.give_parked_to(
      [&](int fd) {
        if (++asked == 1) return parking::given::not_now;
        given.emplace_back(::dup(fd));
        return parking::given::yes;
      },
      false);
  const auto client = t.delivered("line1");
  CHECK(asked == 0);
  t.here.stop();
  t.core.settle();
  CHECK(asked == 1);
  CHECK(t.all.in_use() == 1);
  t.core.advance(5ms);
  CHECK(given.size() == 1);
  CHECK(t.all.in_use() == 0);
  CHECK(test::drained(client.get()) == "line1");
  CHECK_FALSE(is_ended(client));
}

TEST_CASE("where any process may serve what comes next, a parked connection is given away at once") {
  int handlers = 0;
  std::vector<unique_fd> given;
  auto taken = parking::given::yes;
  timed t([&](connection c) { return answer_and_park(std::move(c), &handlers); });
  t.here.give_parked_to(
      [&](int fd) {
        if (taken == parking::given::yes) given.emplace_back(::dup(fd));
        return taken;
      },
      true);
  const auto away = t.delivered("line1");
  CHECK(given.size() == 1);
  CHECK(t.all.in_use() == 0);
  taken = parking::given::never;  // nobody has room: it stays
  const auto here = t.delivered("line1");
  CHECK(t.all.in_use() == 1);
  test::put(here.get(), "line2");
  t.core.settle();
  CHECK(test::drained(here.get()) == "line1line2");
}

TEST_CASE("a socket that lingers keeps its permit, and is cut with the rest") {
  const auto refuse = [](connection c) -> task<> { co_await c.send("no"); };
  timed t(refuse);
  const auto client = t.delivered("question");
  CHECK(test::drained(client.get()) == "no");
  CHECK(is_ended(client));
  t.core.advance(1s);
  CHECK(t.all.in_use() == 1);
  t.here.cancel();
  t.core.settle();
  CHECK(t.all.in_use() == 0);
}

TEST_CASE("stopping gives every handler the end of its input, those that arrive later too") {
  std::vector<ending> ends;
  const auto handler = [](connection c, std::vector<ending>* out) -> task<> {
    while (auto data = co_await c.receive()) {
    }
    out->push_back(c.end());
    co_await c.send("bye");
  };
  fixture f([&](connection c) { return handler(std::move(c), &ends); });
  f.l.core().post([&] {
    f.here.deliver(f.accepted());
    f.here.deliver(f.accepted());
  });
  f.l.run(test::until([&] { return f.here.load() == 2; }));
  f.here.stop();
  f.l.core().post([&] { f.here.deliver(f.accepted()); });
  f.l.run(test::until([&] { return ends.size() == 3 && f.here.load() == 0; }));
  CHECK(ends == std::vector(3, ending::stopping));
  for (const auto& c : f.clients) {
    CHECK(test::wait_readable(c.get()));
    CHECK(test::drained(c.get()) == "bye");
  }
}

TEST_CASE("sockets that have not arrived are closed with the connection_starter, and their permits return") {
  permit_pool all(10);
  const connection_handler handler = echo;
  auto ends = test::tcp_pair();
  {
    test::loop l;
    connection_starter here(l.core(), {}, handler, all);
    here.deliver({std::move(ends.a), {}, all.try_acquire()});
    CHECK(all.in_use() == 1);
  }
  CHECK(all.in_use() == 0);
  char one;
  CHECK(::recv(ends.b.get(), &one, 1, 0) == 0);
}
