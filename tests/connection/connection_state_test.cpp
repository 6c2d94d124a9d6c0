#include "weir/connection/detail/connection_table.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "loop.hpp"
#include "output.hpp"

using namespace weir;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

task<> hold(connection c, std::shared_ptr<int> /*alive*/) {
  while (auto data = co_await c.receive()) {
  }
}

bool is_closed(int fd) {
  char one;
  const auto n = ::recv(fd, &one, 1, MSG_DONTWAIT);
  return n == 0 || (n < 0 && errno == ECONNRESET);
}

}  // namespace

TEST_CASE("the table knows the connections of its core, and forgets those that are gone") {
  test::loop l;
  auto first = std::make_unique<test::half>(l);
  auto second = std::make_unique<test::half>(l);
  auto third = std::make_unique<test::half>(l);
  CHECK(l.table().all().size() == 3);
  CHECK(&l.table().home() == &l.core());
  first.reset();
  l.run(test::rounds());
  REQUIRE(l.table().all().size() == 2);
  for (const auto& left : {&second->here, &third->here})
    CHECK(std::ranges::count(l.table().all(), &left->state()) == 1);
  third.reset();
  second.reset();
  l.run(test::rounds());
  CHECK(l.table().all().empty());
}

TEST_CASE("a handler starts from the run queue, and its end closes the connection and returns the permit") {
  permit_pool g(1);
  test::loop l;
  test::half h(l);
  const auto alive = std::make_shared<int>();
  auto& state = h.here.state();
  state.serve(hold(std::move(h.here), alive), g.try_acquire());
  CHECK(g.in_use() == 1);
  l.run(test::rounds());
  CHECK(g.in_use() == 1);
  CHECK(alive.use_count() == 2);
  ::shutdown(h.there.get(), SHUT_WR);
  l.run(test::until([&] { return g.in_use() == 0; }));
  CHECK(alive.use_count() == 1);
  CHECK(is_closed(h.there.get()));
  CHECK(l.table().all().empty());
}

TEST_CASE("a handle that outlives the handler keeps the connection and its permit") {
  permit_pool g(1);
  test::loop l;
  test::half h(l);
  connection kept;
  const auto giver = [](connection c, connection* to) -> task<> {
    *to = std::move(c);
    co_return;
  };
  auto& state = h.here.state();
  state.serve(giver(std::move(h.here), &kept), g.try_acquire());
  l.run(test::rounds());
  CHECK(g.in_use() == 1);
  CHECK(kept.is_open());
  const auto use = [](connection* c) -> task<> {
    const bool sent = co_await c->send("later");
    CHECK(sent);
  };
  l.run(use(&kept));
  CHECK(test::drained(h.there.get()) == "later");
  kept = connection();
  l.run(test::rounds());
  CHECK(g.in_use() == 0);
  CHECK(is_closed(h.there.get()));
}

TEST_CASE("a handler that outlives its handle goes on") {
  permit_pool g(1);
  test::loop l;
  test::half h(l);
  bool released = false;
  bool ended = false;
  const auto dropper = [](connection c, const bool* may_end, bool* flag) -> task<> {
    {
      const connection gone = std::move(c);
    }
    while (!*may_end) co_await yield();
    *flag = true;
  };
  auto& state = h.here.state();
  state.serve(dropper(std::move(h.here), &released, &ended), g.try_acquire());
  l.run(test::until([&] { return is_closed(h.there.get()); }));
  CHECK_FALSE(ended);
  CHECK(g.in_use() == 1);
  released = true;
  l.run(test::until([&] { return g.in_use() == 0; }));
  CHECK(ended);
}

TEST_CASE("an exception that leaves a handler closes its connection and is logged with the peer", "[epoll]") {
  permit_pool g(2);
  test::loop l(test::over_epoll);
  test::half good(l);
  test::half bad(l, test::tcp_pair());
  const auto name = bad.here.peer().to_string();
  const auto thrower = [](connection c) -> task<> {
    static_cast<void>(co_await c.receive());
    throw std::runtime_error("no such thing");
  };
  auto& bad_state = bad.here.state();
  auto& good_state = good.here.state();
  bad_state.serve(thrower(std::move(bad.here)), g.try_acquire());
  good_state.serve(hold(std::move(good.here), nullptr), g.try_acquire());
  test::put(bad.there.get(), "x");
  const test::output log(2);
  l.run(test::until([&] { return is_closed(bad.there.get()); }));
  CHECK_THAT(log.text(), Contains("connection from " + name + " closed: its handler threw: no such thing"));
  l.run(test::rounds());
  CHECK(g.in_use() == 1);
  CHECK_FALSE(is_closed(good.there.get()));
}

TEST_CASE("an ended input wakes the reader with the reason and lets it reply") {
  test::loop l;
  test::half h(l);
  const auto body = [](connection* c) -> task<> {
    const auto data = co_await c->receive();
    CHECK_FALSE(data);
    CHECK(c->end() == ending::stopping);
    const bool sent = co_await c->send("bye");
    CHECK(sent);
  };
  const auto stop = [](connection_state* s) -> task<> {
    co_await test::rounds();
    s->end_input(ending::stopping);
    s->end_input(ending::idle);  // the first reason stays
  };
  l.run(body(&h.here), stop(&h.here.state()));
  CHECK(test::drained(h.there.get()) == "bye");
}

TEST_CASE("what still waits is destroyed with the core: receiving, sending, sleeping and not yet started") {
  const auto alive = std::make_shared<int>();
  permit_pool g(100);
  test::loop l;
  std::vector<unique_fd> peers;
  const auto serve = [&](task<> (*handler)(connection, std::shared_ptr<int>)) {
    test::half h(l, test::tcp_pair(8192));
    auto& state = h.here.state();
    h.here.set_idle_timeout(1h);
    state.serve(handler(std::move(h.here), alive), g.try_acquire());
    peers.push_back(std::move(h.there));
  };
  struct handlers {
    static task<> receive(connection c, std::shared_ptr<int> /*alive*/) {
      static_cast<void>(co_await c.receive());
    }
    static task<> send(connection c, std::shared_ptr<int> /*alive*/) {
      const std::string much(10'000'000, 'x');
      co_await c.send(much);
    }
    static task<> sleep(connection /*c*/, std::shared_ptr<int> /*alive*/) { co_await sleep_for(1h); }
    static task<> spin(connection /*c*/, std::shared_ptr<int> /*alive*/) {
      for (;;) co_await yield();
    }
    static task<> nested(connection c, std::shared_ptr<int> a) {
      co_await receive(std::move(c), std::move(a));
    }
  };
  for (int i = 0; i < 5; ++i) {
    serve(handlers::receive);
    serve(handlers::send);
    serve(handlers::sleep);
    serve(handlers::spin);
    serve(handlers::nested);
  }
  l.run(test::rounds());
  serve(handlers::receive);
  CHECK(g.in_use() == 26);
  CHECK(alive.use_count() > 26);
  l.destroy();
  CHECK(g.in_use() == 0);
  CHECK(alive.use_count() == 1);
  for (const auto& p : peers) {
    static_cast<void>(test::drained(p.get()));
    CHECK(is_closed(p.get()));
  }
}

TEST_CASE("a handler that holds a second connection is destroyed with the core") {
  // As a proxy does: the connection behind was opened later, and it is the one that is waited for.
  permit_pool g(1);
  test::loop l;
  test::half front(l);
  test::half behind(l);
  const auto proxy = [](connection /*client*/, connection upstream) -> task<> {
    while (auto data = co_await upstream.receive()) {
    }
  };
  auto& state = front.here.state();
  state.serve(proxy(std::move(front.here), std::move(behind.here)), g.try_acquire());
  l.run(test::rounds());
  l.destroy();
  CHECK(g.in_use() == 0);
  CHECK(is_closed(front.there.get()));
  CHECK(is_closed(behind.there.get()));
}

TEST_CASE("what a handler was the first to ask its core for outlives the handler") {
  static int living = 0;
  static int seen = -1;
  struct counted {
    explicit counted(core&) { ++living; }
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;
    ~counted() { --living; }
  };
  struct user {
    user() { static_cast<void>(core::here().local<counted>()); }
    user(const user&) = delete;
    user& operator=(const user&) = delete;
    ~user() { seen = living; }
  };
  const auto wait = [](connection c) -> task<> {
    const user here;
    co_await c.stopping();  // of a signal that is younger than the table of connections as well
  };
  permit_pool g(1);
  test::loop l;
  test::half h(l);
  auto& state = h.here.state();
  state.serve(wait(std::move(h.here)), g.try_acquire());
  l.run(test::rounds());
  REQUIRE(living == 1);
  l.destroy();
  CHECK(seen == 1);
  CHECK(living == 0);
}

TEST_CASE("a core's own object may keep connections") {
  struct idle_upstreams {
    explicit idle_upstreams(core& c) { static_cast<void>(c.local<connection_table>()); }
    std::vector<connection> kept;
  };
  test::loop l;
  test::half h(l);
  l.core().local<idle_upstreams>().kept.push_back(std::move(h.here));
  l.destroy();
  CHECK(is_closed(h.there.get()));
}

TEST_CASE("a connection whose descriptor lives on elsewhere is not reported any more once it is closed") {
  test::loop l;
  test::half h(l);
  const unique_fd copy(::dup(h.here.native_handle()));
  std::string got;
  const auto receive = [](connection c, std::string* out) -> task<> {
    while (auto data = co_await c.receive()) {
      *out += data.text();
      if (data.text() == "end") c.close();
    }
  };
  l.core().spawn(receive(std::move(h.here), &got));
  l.run(test::rounds());
  test::put(h.there.get(), "end");
  l.run(test::until([&] { return l.table().all().empty(); }));
  test::put(h.there.get(), "to nobody");  // the copy keeps the socket open
  l.run(test::rounds(64));
  CHECK(got == "end");
}
