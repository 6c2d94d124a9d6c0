#include "weir/server/service.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <stdexcept>
#include <string>
#include <vector>

#include "output.hpp"
#include "serving.hpp"
#include "weir/core/sleep.hpp"

using namespace weir;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

settings local() {
  settings s;
  s.listen = {"127.0.0.1:0"};
  s.cores.pin = false;
  s.distribute.policy = policy_kind::round_robin;
  return s;
}

// What the objects below tell. They live on other threads.
struct {
  std::atomic<int> made{0};
  std::atomic<int> started{0};
  std::atomic<int> stopped{0};
  std::atomic<int> destroyed{0};
  std::atomic<int> wrong{0};  // something happened on another core, or out of order
} told;

// Counts the requests of its core.
class counting {
 public:
  explicit counting(core& home) : home_(&home) { ++told.made; }
  counting(const counting&) = delete;
  counting& operator=(const counting&) = delete;
  ~counting() { ++told.destroyed; }

  void start() {
    started_ = true;
    ++told.started;
    expect(core::current() == home_);
  }
  task<> operator()(connection client) {
    expect(core::current() == home_ && started_);
    while (auto data = co_await client.receive()) {
      const std::string answer = std::to_string(home_->index()) + " " + std::to_string(++requests_) + "\n";
      co_await client.send(answer);
    }
    ++ended_;
  }
  void stop() {
    ++told.stopped;
    expect(core::current() == home_ && ended_ == 1);
  }

 private:
  static void expect(bool fact) {
    if (!fact) ++told.wrong;
  }

  core* home_;
  bool started_ = false;
  int requests_ = 0;
  int ended_ = 0;
};

// The least that a service is.
struct echoing {
  task<> operator()(connection client) {
    while (auto data = co_await client.receive()) co_await client.send(data);
  }
};
static_assert(service<counting> && service<echoing>);

struct not_a_service {
  int operator()(connection) { return 0; }
};
static_assert(!service<not_a_service>);

asio::awaitable<void> echo_in_asio(asio::ip::tcp::socket socket) {
  char data[64];
  for (;;) {
    const auto n = co_await socket.async_read_some(asio::buffer(data), asio::use_awaitable);
    co_await asio::async_write(socket, asio::buffer(data, n), asio::use_awaitable);
  }
}

}  // namespace

TEST_CASE("a service has an object on each core, started before and stopped after its connections") {
  std::size_t cores = 0;
  {
    test::serving s(local(), service_of<counting>());
    cores = s->cores().size();
    std::vector<test::client> clients(cores);
    for (auto& c : clients) c = test::client(s.at());
    std::vector<std::string> answers;
    for (auto& c : clients) {
      for (const std::string count : {"1", "2"}) {
        REQUIRE(c.send("x"));
        answers.push_back(c.receive(4));
        CHECK_THAT(answers.back(), Catch::EndsWith(" " + count + "\n"));
      }
    }
    CHECK(told.started == static_cast<int>(cores));
    CHECK(told.stopped == 0);
    s->stop();
    CHECK(s.has_ended());
    CHECK(told.stopped == static_cast<int>(cores));
  }
  CHECK(told.made == static_cast<int>(cores));
  CHECK(told.destroyed == static_cast<int>(cores));
  CHECK(told.wrong == 0);
}

TEST_CASE("a service needs neither start nor stop") {
  test::serving s(local(), service_of<echoing>());
  test::client c(s.at());
  CHECK(c.send("hello"));
  CHECK(c.receive(5) == "hello");
  s->stop();
  CHECK(s.has_ended());
}

TEST_CASE("a server that is stopped before it runs neither starts nor stops its services") {
  told.started = told.stopped = 0;
  server s(local(), service_of<counting>());
  s.stop();
  s.run();
  CHECK(told.started == 0);
  CHECK(told.stopped == 0);
}

namespace {

// Waits in its start and in its stop.
struct waiting {
  static inline std::atomic<int> started{0};
  static inline std::atomic<int> early{0};  // connections that no service was ready for
  static inline std::atomic<int> stopped{0};

  task<> start() {
    for (int i = 0; i < 100; ++i) co_await sleep_for(core::here().index() == 0 ? 0ms : 1ms);
    ++started;
  }
  task<> operator()(connection client) {
    if (started != static_cast<int>(core::here().pool()->size())) ++early;
    while (auto data = co_await client.receive()) co_await client.send(data);
  }
  task<> stop() {
    co_await sleep_for(5ms);
    ++stopped;
  }
};

}  // namespace

TEST_CASE("a start and a stop that are tasks are awaited, before any connection and before the end") {
  waiting::started = waiting::stopped = 0;
  test::serving s(local(), service_of<waiting>());
  const auto cores = static_cast<int>(s->cores().size());
  std::vector<test::client> clients;
  for (int i = 0; i < 8; ++i) clients.emplace_back(s.at());
  for (auto& c : clients) {
    CHECK(c.send("x"));
    CHECK(c.receive(1) == "x");
  }
  CHECK(waiting::early == 0);
  s->stop();
  CHECK(s.has_ended());
  CHECK(waiting::stopped == cores);
}

TEST_CASE("a cut does not wait for connections, and services are stopped all the same") {
  struct stubborn {
    task<> operator()(connection client) {
      co_await client.send("x");
      co_await sleep_for(1h);
    }
    task<> stop() {
      co_await sleep_for(1ms);
      ++told.stopped;
    }
  };
  told.stopped = 0;
  const test::output log(2);
  test::serving s(local(), service_of<stubborn>());
  test::client c(s.at());
  REQUIRE(c.receive(1) == "x");
  s->stop();
  CHECK(s.runs());
  CHECK(told.stopped == 0);
  s->cut();
  CHECK(s.has_ended());
  CHECK(told.stopped == static_cast<int>(s->cores().size()));
  CHECK(s->cut_short());
}

TEST_CASE("a stop that never ends is cancelled after the drain timeout") {
  struct endless {
    task<> operator()(connection) { co_return; }
    task<> stop() { co_await sleep_for(1h); }
  };
  auto wanted = local();
  wanted.limits.drain_timeout = 10ms;
  const test::output log(2);
  test::serving s(wanted, service_of<endless>());
  CHECK(test::client(s.at()).is_closed());  // by the handler: the service has started
  s->stop();
  CHECK(s.has_ended());
  CHECK_THAT(log.text(), Contains("the stop of a service has taken too long"));
}

namespace {

struct shared_by_all {
  static constexpr auto keeps = state_kind::per_process;
  task<> operator()(connection) { co_return; }
  void stop() { ++told.stopped; }
};

}  // namespace

TEST_CASE("one object for all cores is stopped once, also if it has no start") {
  told.stopped = 0;
  test::serving s(local(), service_of<shared_by_all>());
  CHECK(test::client(s.at()).is_closed());
  s->stop();
  CHECK(s.has_ended());
  CHECK(told.stopped == 1);
}

TEST_CASE("a loop that hangs keeps no other loop from stopping its service") {
  static std::atomic<bool> hangs{false};
  static std::atomic<bool> goes_on{false};
  struct per_loop {
    explicit per_loop(core& c) : index(c.index()) {}
    task<> operator()(connection) { co_return; }
    void stop() {
      told.stopped += index == 0;
      goes_on = true;  // run() joins the loop that hangs
    }
    unsigned index;
  };
  auto wanted = local();
  if (allowed_cpus().size() < 2) return;
  told.stopped = 0;
  hangs = goes_on = false;
  const test::output log(2);
  test::serving s(wanted, service_of<per_loop>());
  CHECK(test::client(s.at()).is_closed());
  s->cores()[1].post([] {
    hangs = true;
    while (!goes_on) std::this_thread::sleep_for(1ms);
  });
  while (!hangs) std::this_thread::sleep_for(1ms);
  s->cut();
  CHECK(s.has_ended());
  CHECK(told.stopped == 1);
  CHECK_THAT(log.text(), Contains("their loops do not turn"));
}

TEST_CASE("when one start throws, what has started is stopped and run throws that") {
  static std::atomic<int> running{0};
  static std::atomic<int> starts{0};
  struct failing {
    explicit failing(core& c) : last(c.index() + 1 == c.pool()->size()) {}
    task<> start() {
      ++starts;
      if (last) throw std::runtime_error("start refused");
      ++running;
      co_return;
    }
    task<> operator()(connection) { co_return; }
    void stop() { --running; }
    bool last;
  };
  server s(local(), service_of<failing>());
  CHECK_THROWS_WITH(s.run(), Contains("start refused"));
  CHECK(starts == static_cast<int>(s.cores().size()));
  CHECK(running == 0);
  CHECK(s.accepted() == 0);
}

TEST_CASE("a start that waits is cancelled by a stop") {
  static std::atomic<bool> waits{false};
  struct slow {
    task<> start() {
      waits = true;
      co_await sleep_for(1h);
    }
    task<> operator()(connection) { co_return; }
    void stop() { ++told.wrong; }
  };
  told.wrong = 0;
  const test::output log(2);
  test::serving s(local(), service_of<slow>());
  REQUIRE(test::eventually([] { return waits.load(); }));
  s->stop();
  CHECK(s.has_ended());
  CHECK(told.wrong == 0);
}

TEST_CASE("a handler written for Asio serves over v4 and v6, and its end of the stream closes only that") {
  auto wanted = local();
  wanted.listen = {"127.0.0.1:0", "[::1]:0"};
  const test::output log(2);
  test::serving s(wanted, asio_handler(echo_in_asio));
  test::client stays(s.at());
  CHECK(stays.send("1"));
  CHECK(stays.receive(1) == "1");
  for (const auto& at : s->addresses()) {
    test::client c(at);
    CHECK(c.send("hello"));
    CHECK(c.receive(5) == "hello");
    c.finish();
    CHECK(c.is_closed());
  }
  CHECK(stays.send("2"));
  CHECK(stays.receive(1) == "2");
}

TEST_CASE("a handler written for Asio counts as a connection until it ends, and is cancelled by a stop") {
  test::serving s(local(), asio_handler(echo_in_asio));
  std::vector<test::client> clients;
  for (int i = 0; i < 10; ++i) clients.emplace_back(s.at());
  for (auto& c : clients) {
    REQUIRE(c.send("x"));
    REQUIRE(c.receive(1) == "x");
  }
  CHECK(s->connections() == 10);
  clients.pop_back();
  CHECK(test::eventually([&] { return s->connections() == 9; }));
  s->stop();
  for (auto& c : clients) CHECK(c.is_closed());
  CHECK(s.has_ended());
  CHECK(s->connections() == 0);
}
