#include "weir/server/server.hpp"

#include <fcntl.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <future>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "output.hpp"
#include "serving.hpp"
#include "sockets.hpp"
#include "weir/config/detail/names.hpp"
#include "weir/connection/connect.hpp"
#include "weir/core/detail/virtual_clock.hpp"
#include "weir/core/offload.hpp"
#include "weir/core/sleep.hpp"

using namespace weir;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

settings local() {
  settings s;
  s.listen = {"127.0.0.1:0"};
  s.cores.pin = false;
  s.limits.idle_timeout = 0ms;
  return s;
}

using test::serving;

task<> echo(connection c) {
  while (auto data = co_await c.receive()) co_await c.send(data);
}

// Tells the loop that serves, and holds the connection.
task<> tell_core(connection c) {
  const char name[1] = {static_cast<char>('0' + core::here().index())};
  co_await c.send(std::string_view(name, 1));
  while (auto data = co_await c.receive()) {
  }
}

// A handler that is told when to go on, and tells when it has begun.
struct held {
  std::promise<void> begun;
  std::atomic<bool> released{false};

  static task<> serve(connection c, held* h) {
    const auto request = co_await c.receive();
    h->begun.set_value();
    while (!h->released) co_await sleep_for(1ms);
    co_await c.send("reply to ");
    co_await c.send(request);
  }
  [[nodiscard]] bool has_begun() { return begun.get_future().wait_for(30s) == std::future_status::ready; }
};

// As many descriptors as the system gives.
void raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

TEST_CASE("a server refuses settings out of their range before it binds anything") {
  settings wrong = local();
  wrong.limits.connections = 0;
  wrong.workers.count = 0;
  CHECK_THROWS_WITH(server(wrong, [](connection) -> task<> { co_return; }),
                    Catch::Contains("limits.connections: 0 is out of range") &&
                        Catch::Contains("workers.count: 0 is out of range"));
}

TEST_CASE("port 0 is reported as the port at which clients are served") {
  serving s(local(), echo);
  CHECK(s.at().port() != 0);
  test::client c(s.at());
  REQUIRE(c.error() == 0);
  CHECK(c.send("hello"));
  CHECK(c.receive(5) == "hello");
}

TEST_CASE("tcp and unix addresses are served side by side") {
  auto wanted = local();
  wanted.listen = {"127.0.0.1:0", "unix:@weir-server-test-" + std::to_string(::getpid()), "127.0.0.1:0"};
  serving s(wanted, echo);
  REQUIRE(s->addresses().size() == 3);
  CHECK(s.at(0) != s.at(2));
  for (const auto& at : s->addresses()) {
    test::client c(at);
    CHECK(c.send(at.to_string()));
    CHECK(c.receive(at.to_string().size()) == at.to_string());
  }
  CHECK(s->accepted() == 3);
}

TEST_CASE("an address that is taken or wrong is an error of the constructor that names it") {
  serving s(local(), echo);
  auto same = local();
  same.listen = {s.at().to_string()};
  CHECK_THROWS_WITH(server(same, echo), Contains("bind " + s.at().to_string()));
  same.listen = {"nonsense"};
  CHECK_THROWS_AS(server(same, echo), std::invalid_argument);
}

TEST_CASE("an exception that leaves a handler closes that connection only, and is logged with its peer") {
  const auto handler = [](connection c) -> task<> {
    while (auto data = co_await c.receive()) {
      if (data.text() == "fail") throw std::runtime_error("as told");
      co_await c.send(data);
    }
  };
  const test::output log(2);
  serving s(local(), handler);
  test::client good(s.at());
  test::client bad(s.at());
  CHECK(good.send("1"));
  CHECK(good.receive(1) == "1");
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(bad.get(), reinterpret_cast<sockaddr*>(&address), &size);
  const auto name = peer_address::from(reinterpret_cast<const sockaddr*>(&address), size).to_string();
  CHECK(bad.send("fail"));
  CHECK(bad.is_closed());
  CHECK_THAT(log.text(), Contains("connection from " + name + " closed: its handler threw: as told"));
  CHECK(good.send("2"));
  CHECK(good.receive(1) == "2");
}

TEST_CASE("stopping lets the handler that is at work finish, and its reply arrives") {
  held h;
  serving s(local(), [&h](connection c) { return held::serve(std::move(c), &h); });
  test::client c(s.at());
  CHECK(c.send("request"));
  REQUIRE(h.has_begun());
  s->stop();
  // New clients are not served any more: whoever comes now is never accepted.
  REQUIRE(test::eventually([&] { return s->connections() == 1; }));
  CHECK(s.runs());
  h.released = true;
  CHECK(c.receive_all() == "reply to request");
  CHECK(s.has_ended());
  CHECK(s->connections() == 0);
  CHECK_FALSE(s->cut_short());
}

TEST_CASE("stopping ends the input of handlers that wait, and run returns when they are done") {
  std::atomic<int> told{0};
  const auto handler = [](connection c, std::atomic<int>* count) -> task<> {
    co_await c.send("hello");
    while (auto data = co_await c.receive()) {
    }
    if (c.end() == ending::stopping) ++*count;
    co_await c.send("bye");
  };
  serving s(local(), [&](connection c) { return handler(std::move(c), &told); });
  std::vector<test::client> clients;
  for (int i = 0; i < 20; ++i) clients.emplace_back(s.at());
  for (auto& c : clients) REQUIRE(c.receive(5) == "hello");
  s->stop();
  for (auto& c : clients) CHECK(c.receive_all() == "bye");
  CHECK(s.has_ended());
  CHECK(told == 20);
}

TEST_CASE("a cut does not wait for handlers, and a second stop is no cut") {
  held h;
  serving s(local(), [&h](connection c) { return held::serve(std::move(c), &h); });
  test::client c(s.at());
  CHECK(c.send("request"));
  REQUIRE(h.has_begun());
  const test::output log(2);
  s->stop();
  s->stop();
  std::promise<void> turned;
  s->cores()[0].post([&] { turned.set_value(); });
  turned.get_future().wait();
  CHECK(s.runs());
  s->cut();
  CHECK(s.has_ended());
  CHECK_THAT(log.text(), Contains("1 connections were cut"));
  CHECK(s->cut_short());
}

TEST_CASE("a handler that waits for the answer of another server gets it although its own server stops") {
  for (const auto kind : {model_kind::loop_per_core, model_kind::serial, model_kind::thread_per_connection,
                          model_kind::loop_with_workers, model_kind::thread_per_event}) {
    held h;
    const serving other(local(), [&h](connection c) { return held::serve(std::move(c), &h); });
    struct asking {
      static task<> serve(connection client, endpoint where, std::atomic<bool>* told) {
        connection up = co_await connect(where);
        co_await up.send("question");
        while (!client.is_stopping()) co_await sleep_for(1ms);
        *told = true;
        bool more = true;
        while (more) {
          auto answer = co_await up.receive();
          more = static_cast<bool>(answer);
          if (more) co_await client.send(answer);
        }
      }
    };
    auto wanted = local();
    wanted.model = kind;
    std::atomic<bool> told{false};
    serving s(wanted, [&](connection c) { return asking::serve(std::move(c), other.at(), &told); });
    test::client c(s.at());
    REQUIRE(h.has_begun());
    s->stop();
    while (!told) std::this_thread::sleep_for(1ms);
    h.released = true;
    CHECK(c.receive(17) == "reply to question");
    CHECK(s.has_ended());
    CHECK_FALSE(s->cut_short());
  }
}

TEST_CASE("a server in a program of one's own takes none of its signals") {
  const auto handlers = [] {
    std::vector<void (*)(int)> out;
    for (const int each : {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGPIPE, SIGALRM, SIGCHLD}) {
      struct sigaction now{};
      ::sigaction(each, nullptr, &now);
      out.push_back(now.sa_handler);
    }
    return out;
  };
  const auto before = handlers();
  serving s(local(), [](connection c) -> task<> { co_await c.send("x"); });
  CHECK(test::client(s.at()).receive(1) == "x");
  CHECK(handlers() == before);
}

TEST_CASE("stopping waits for handlers no longer than the drain timeout") {
  held h;
  auto wanted = local();
  wanted.limits.drain_timeout = 50ms;
  serving s(wanted, [&h](connection c) { return held::serve(std::move(c), &h); });
  test::client c(s.at());
  CHECK(c.send("request"));
  REQUIRE(h.has_begun());
  const test::output log(2);
  const auto before = std::chrono::steady_clock::now();
  s->stop();
  CHECK(s.has_ended());
  CHECK(std::chrono::steady_clock::now() - before >= 50ms);
  CHECK_THAT(log.text(), Contains("drain_timeout has passed; 1 connections are cut"));
  CHECK(s->cut_short());
}

TEST_CASE("at the drain timeout what handlers wait for is cancelled, and 200 ms later what is left is cut") {
  struct handlers {
    static task<> stubborn(connection c, std::atomic<int>* told) {
      co_await c.send("x");
      for (;;) {
        try {
          co_await sleep_for(1h);
        } catch (const std::system_error&) {
          ++*told;
          break;
        }
      }
      for (;;) co_await yield();
    }
  };
  std::atomic<int> told{0};
  auto wanted = local();
  wanted.cores.use = std::to_string(*allowed_cpus().begin());
  wanted.limits.drain_timeout = 1h;
  server s(wanted, [&](connection c) { return handlers::stubborn(std::move(c), &told); });
  core& only = s.cores()[0];
  virtual_clock clock(only);
  const auto advance = [&](std::chrono::milliseconds d) {
    std::promise<void> done;
    only.post([&] {
      clock.advance(d);
      done.set_value();
    });
    done.get_future().wait();
  };
  const test::output log(2);
  std::atomic<bool> ended{false};
  std::jthread running([&] {
    s.run();
    ended = true;
  });
  test::client c(s.addresses().at(0));
  REQUIRE(c.receive(1) == "x");
  s.stop();
  advance(0ms);
  advance(1h - 1ms);
  CHECK(told == 0);
  advance(1ms);
  CHECK(test::eventually([&] { return told == 1; }));
  CHECK_FALSE(ended);
  CHECK_THAT(log.text(), Contains("drain_timeout has passed; 1 connections are cut"));
  advance(199ms);
  CHECK_FALSE(ended);
  only.post([&] { clock.advance(1ms); });
  running.join();
  CHECK(ended);
  CHECK_THAT(log.text(), Contains("stopped; 1 connections were cut"));
}

TEST_CASE("a server refuses what it cannot serve, and names the key") {
  auto wanted = local();
  wanted.model = model_kind::process_pool;
  CHECK_THROWS_WITH(server(wanted, echo), Contains("model") && Contains("weir::run"));
  wanted = local();
  wanted.limits.connections = 0;
  CHECK_THROWS_WITH(server(wanted, echo), Contains("limits.connections"));
  wanted = local();
  wanted.workers.count = 0;
  CHECK_THROWS_WITH(server(wanted, echo), Contains("workers.count"));
  wanted = local();
  wanted.listen = {"127.0.0.1:7777", "127.0.0.1:7777"};
  wanted.distribute.policy = policy_kind::kernel;  // which binds several sockets to one address
  CHECK_THROWS_WITH(server(wanted, echo), Contains("listen") && Contains("twice"));
}

TEST_CASE("a server that is stopped before it runs returns at once") {
  server s(local(), echo);
  s.stop();
  s.run();
  CHECK(s.accepted() == 0);
}

TEST_CASE("at the limit of connections the next client waits until one leaves") {
  auto wanted = local();
  wanted.limits.connections = 2;
  serving s(wanted, tell_core);
  test::client first(s.at());
  test::client second(s.at());
  CHECK(first.receive(1).size() == 1);
  CHECK(second.receive(1).size() == 1);
  test::client third(s.at());
  REQUIRE(third.error() == 0);  // by the kernel
  CHECK(s->connections() == 2);
  CHECK(third.is_silent());
  first = test::client();
  CHECK(third.receive(1).size() == 1);
  CHECK(s->accepted() == 3);
}

TEST_CASE("the counters tell which connections there are, and forget none") {
  serving s(local(), tell_core);
  std::vector<test::client> clients;
  for (int i = 0; i < 30; ++i) clients.emplace_back(s.at());
  for (auto& c : clients) REQUIRE(c.receive(1).size() == 1);
  CHECK(s->connections() == 30);
  std::uint32_t sum = 0;
  for (const auto n : s->connections_per_core()) sum += n;
  CHECK(sum == 30);
  clients.clear();
  CHECK(test::eventually([&] { return s->connections() == 0; }));
  CHECK(s->accepted() == 30);
  CHECK(s->accept_pauses() == 0);
}

TEST_CASE("a program's own tasks run on the cores of its server") {
  serving s(local(), echo);
  std::promise<unsigned> ran_on;
  const auto body = [](std::promise<unsigned>* p) -> task<> {
    co_await sleep_for(1ms);
    p->set_value(core::here().index());
  };
  auto& last = s->cores()[s->cores().size() - 1];
  last.post([&] { last.spawn(body(&ran_on)); });
  auto there = ran_on.get_future();
  REQUIRE(there.wait_for(30s) == std::future_status::ready);
  CHECK(there.get() == s->cores().size() - 1);
}

TEST_CASE("what a handler spawns or posts goes on after it in every model, also on threads that rest") {
  struct counts {
    std::atomic<int> tasks{0};
    std::atomic<int> posts{0};
    std::atomic<int> offloaded{0};
  };
  struct handlers {
    static task<> later(counts* n) {
      co_await sleep_for(5ms);
      auto work = offload([n] { ++n->offloaded; });
      co_await work;
      co_await sleep_for(5ms);
      ++n->tasks;
    }
    static task<> leave_something(connection c, counts* n) {
      const auto request = co_await c.receive();
      if (!request) co_return;
      core::here().spawn(later(n));
      core::here().post([n] { ++n->posts; });
      co_await c.send("x");
    }
  };
  for (const auto& row : names<model_kind>) {
    if (row.value == model_kind::process_pool) continue;
    CAPTURE(row.name);
    auto s = local();
    s.model = row.value;
    s.workers.queue = 100;
    counts n;
    serving it(s, [&n](connection c) { return handlers::leave_something(std::move(c), &n); });
    // One at a time where one at a time is served.
    const int at_once = row.value == model_kind::serial ? 1 : 30;
    for (int served = 0; served < 30; served += at_once) {
      std::vector<test::client> clients;
      for (int i = 0; i < at_once; ++i) clients.emplace_back(it.at());
      for (auto& c : clients) REQUIRE(c.send("go"));
      for (auto& c : clients) REQUIRE(c.receive(1) == "x");
    }
    CHECK(test::eventually([&] { return n.tasks == 30; }));
    CHECK(n.posts == 30);
    CHECK(n.offloaded == 30);
  }
}

TEST_CASE("each policy that balances reaches both loops, and neither with less than a third") {
  for (const auto policy : {policy_kind::round_robin, policy_kind::least_connections,
                            policy_kind::two_choices, policy_kind::random, policy_kind::kernel}) {
    CAPTURE(name_of(policy));
    auto wanted = local();
    wanted.distribute.policy = policy;
    wanted.distribute.seed = 1;
    serving s(wanted, tell_core);
    if (s->cores().size() != 2) {
      WARN("this machine gives " << s->cores().size() << " loops; two are needed");
      return;
    }
    std::vector<test::client> clients;
    std::map<std::string, std::uint32_t> served;
    for (int i = 0; i < 200; ++i) clients.emplace_back(s.at());
    for (auto& c : clients) ++served[c.receive(1)];
    CHECK(served["0"] + served["1"] == 200);
    CHECK(std::min(served["0"], served["1"]) >= 70);
    CHECK(s->connections_per_core() == std::vector{served["0"], served["1"]});
  }
}

TEST_CASE("policies that draw do so differently at each start, unless the seed is fixed") {
  const auto loops = [](std::uint32_t seed) {
    auto wanted = local();
    wanted.distribute.policy = policy_kind::random;
    wanted.distribute.seed = seed;
    serving s(wanted, tell_core);
    std::string met;
    for (int i = 0; i < 64; ++i) met += test::client(s.at()).receive(1);
    return s->cores().size() == 1 ? std::string() : met;
  };
  const auto met = loops(7);
  if (met.empty()) return;
  CHECK(loops(7) == met);
  CHECK(loops(8) != met);
  CHECK(loops(0) != loops(0));
}

TEST_CASE("by ip-hash a client address always meets the same loop, and different ones meet both") {
  auto wanted = local();
  wanted.distribute.policy = policy_kind::ip_hash;
  serving s(wanted, tell_core);
  if (s->cores().size() != 2) return;
  std::map<std::string, int> loops;
  for (std::uint32_t host = 1; host <= 16; ++host) {
    std::map<std::string, int> met;
    for (int i = 0; i < 5; ++i) {
      const unique_fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in from{};
      from.sin_family = AF_INET;
      from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + host);
      REQUIRE(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from) == 0);
      const auto to = s.at().to_sockaddr();
      REQUIRE(::connect(fd.get(), to.get(), to.size) == 0);
      char loop = 0;
      REQUIRE(::recv(fd.get(), &loop, 1, 0) == 1);
      ++met[std::string(1, loop)];
    }
    CHECK(met.size() == 1);
    ++loops[met.begin()->first];
  }
  CHECK(loops.size() == 2);
}

TEST_CASE("hundreds of short connections leave nothing behind") {
  serving s(local(), echo);
  for (int i = 0; i < 400; ++i) {
    test::client c(s.at());
    REQUIRE(c.send("x"));
    REQUIRE(c.receive(1) == "x");
    if (i % 2 == 0) c.finish();
  }
  CHECK(test::eventually([&] { return s->connections() == 0; }));
  CHECK(s->accepted() == 400);
}

TEST_CASE("a server is destroyed with thousands of handlers that wait in every way") {
  raise_descriptor_limit();
  const auto alive = std::make_shared<int>();
  struct handlers {
    static task<> wait(connection c, std::shared_ptr<int> /*alive*/, int way) {
      co_await c.send("x");
      if (way == 0) {
        static_cast<void>(co_await c.receive());
      } else if (way == 1) {
        co_await sleep_for(1h);
      } else if (way == 2) {
        const std::string much(20'000'000, 'x');
        co_await c.send(much);
      } else {
        co_await deeper(&c, 10);
      }
    }
    static task<> deeper(connection* c, int levels) {
      if (levels == 0)
        static_cast<void>(co_await c->receive());
      else
        co_await deeper(c, levels - 1);
    }
  };
  std::atomic<int> next{0};
  std::vector<test::client> clients;
  {
    serving s(local(), [&](connection c) {
      const int n = next++;
      return handlers::wait(std::move(c), alive, n % 500 == 0 ? 2 : n % 3 == 0 ? 0 : n % 3 == 1 ? 1 : 3);
    });
    for (int i = 0; i < 3000; ++i) clients.emplace_back(s.at());
    for (auto& c : clients) REQUIRE(c.receive(1) == "x");
    CHECK(s->connections() == 3000);
    CHECK(alive.use_count() == 3001);
    s->cut();
    CHECK(s.has_ended());
  }
  CHECK(alive.use_count() == 1);
}

namespace {

// Answers one request with who serves it, and parks.
task<> tell_core_and_park(connection c) {
  const auto request = co_await c.receive();
  if (!request) co_return;
  const char name[1] = {static_cast<char>('0' + core::here().index())};
  co_await c.send(std::string_view(name, 1));
  co_return c.park();
}

}  // namespace

TEST_CASE("a worker that is told to accept and has no descriptor says so, and the connection waits") {
  if (build::sanitized) return;  // a sanitizer needs descriptors of its own
  auto listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  const test::client waiting(listener.local());
  inheritance from_master;
  from_master.listeners.push_back(std::move(listener));
  from_master.cpus = {*allowed_cpus().begin()};
  from_master.accept = accept_kind::notify;
  server s(local(), service_form{.handler = echo}, std::move(from_master));
  const test::output log(2);
  std::promise<bool> without;
  std::promise<bool> with;
  s.cores()[0].post([&] {
    const test::no_descriptors none;
    without.set_value(s.accept_from(0));
  });
  std::jthread running([&] { s.run(); });
  CHECK_FALSE(without.get_future().get());
  CHECK(s.accept_pauses() == 1);
  s.cores()[0].post([&] { with.set_value(s.accept_from(0)); });
  CHECK(with.get_future().get());
  CHECK(s.accepted() == 1);
  s.stop();
}

TEST_CASE("a connection that was handed on keeps its worker until it is cared for, and may come back") {
  auto listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  const auto at = listener.local();
  struct : sibling_workers {
    [[nodiscard]] std::uint32_t own_load() const noexcept override { return 9; }
    [[nodiscard]] std::uint32_t least_load() const noexcept override { return 0; }
    [[nodiscard]] bool any_passed_over() const noexcept override { return false; }
    void has_grown() noexcept override {}
    void hold_up(bool) noexcept override {}
    void wait_for_least(std::uint32_t, std::chrono::milliseconds) noexcept override {}
  } others;
  std::atomic<int> handed_on{-1};
  inheritance from_master;
  from_master.listeners.push_back(std::move(listener));
  from_master.cpus = {*allowed_cpus().begin()};
  from_master.accept = accept_kind::reuseport;
  from_master.siblings = &others;
  from_master.hand_on = [&](int fd, socket_layers) {
    handed_on = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return true;
  };
  server s(local(), service_form{.handler = echo}, std::move(from_master));
  std::atomic<bool> ended{false};
  std::jthread running([&] {
    s.run();
    ended = true;
  });
  test::client c(at);
  REQUIRE(test::eventually([&] { return handed_on >= 0; }));
  CHECK(c.send("hello"));
  s.stop();
  std::promise<void> turned;
  s.cores()[0].post([&] { s.cores()[0].post([&] { turned.set_value(); }); });
  turned.get_future().get();
  CHECK_FALSE(ended);
  s.cores()[0].post([&] {
    s.adopt(unique_fd(handed_on));
    s.placed(1);
  });
  CHECK(c.receive(5) == "hello");
  c.finish();
  running.join();
  CHECK(ended);
}

TEST_CASE("a parked connection goes on in every model") {
  for (const auto& row : names<model_kind>) {
    if (row.value == model_kind::process_pool) continue;
    CAPTURE(row.name);
    auto s = local();
    s.model = row.value;
    serving it(s, tell_core_and_park);
    test::client c(it.at());
    for (int i = 0; i < 20; ++i) {
      REQUIRE(c.send("who"));
      REQUIRE(c.receive(1).size() == 1);
    }
    CHECK(it->accepted() == 1);
  }
}

TEST_CASE("what comes next on a parked connection is served where the policy says") {
  auto s = local();
  if (choose_cores(s).cpus.size() < 2) return;
  for (const auto& [policy, moves] :
       {std::pair(policy_kind::round_robin, true), {policy_kind::ip_hash, false}}) {
    s.distribute.policy = policy;
    serving it(s, tell_core_and_park);
    test::client c(it.at());
    std::map<std::string, int> served;
    for (int i = 0; i < 100; ++i) {
      REQUIRE(c.send("who"));
      ++served[c.receive(1)];
    }
    CHECK((served.size() > 1) == moves);
    CHECK(it->connections() == 1);
    it->stop();
    CHECK(c.receive(1).empty());
    CHECK(it.has_ended());
  }
}
