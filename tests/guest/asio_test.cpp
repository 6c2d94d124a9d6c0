#include <csignal>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "loop.hpp"
#include "weir/core/within.hpp"
#include "weir/task/event.hpp"
#include "weir/task/scope.hpp"
#include "weir/task/use_task.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

task<> echo(connection* c) {
  while (auto data = co_await c->receive()) co_await c->send(data);
}

// Sends and receives through weir until told otherwise.
task<> talk(connection* c, const bool* enough, int* rounds) {
  for (; !*enough; ++*rounds) {
    co_await c->send("ping");
    const auto answer = co_await c->receive();
    CHECK(answer.text() == "ping");
  }
  c->shutdown_send();
}

// Runs `guest` beside weir connections that are busy all the time.
void run_beside_connections(test::loop& l, task<> guest) {
  test::whole ends(l);
  bool enough = false;
  int rounds = 0;
  const auto then_end = [](task<> t, bool* flag) -> task<> {
    try {
      co_await t;
    } catch (...) {
      *flag = true;
      throw;
    }
    *flag = true;
  };
  l.run(echo(&ends.a), talk(&ends.b, &enough, &rounds), then_end(std::move(guest), &enough));
  CHECK(rounds > 0);
}

}  // namespace

TEST_CASE("timers of Asio run beside weir connections on a core") {
  test::loop l;
  const auto guest = [](asio::io_context* context) -> task<> {
    asio::steady_timer timer(*context);
    for (int i = 0; i < 20; ++i) {
      timer.expires_after(1ms);
      auto wait = timer.async_wait(use_task);
      co_await wait;
    }
  };
  run_beside_connections(l, guest(&l.core().context()));
}

TEST_CASE("a resolver of Asio runs beside weir connections on a core") {
  test::loop l;
  const auto guest = [](asio::io_context* context) -> task<> {
    asio::ip::tcp::resolver resolver(*context);
    const std::string host = "localhost";
    const std::string service = "80";
    auto asked = resolver.async_resolve(host, service, use_task);
    const auto found = co_await asked;
    CHECK_FALSE(found.empty());
    for (const auto& entry : found) {
      CHECK(entry.endpoint().address().is_loopback());
      CHECK(entry.endpoint().port() == 80);
    }
  };
  run_beside_connections(l, guest(&l.core().context()));
}

TEST_CASE("a signal set of Asio runs beside weir connections on a core") {
  test::loop l;
  const auto guest = [](asio::io_context* context) -> task<> {
    asio::signal_set signals(*context, SIGUSR1, SIGUSR2);
    for (const int number : {SIGUSR1, SIGUSR2}) {
      std::raise(number);
      auto asked = signals.async_wait(use_task);
      const int came = co_await asked;
      CHECK(came == number);
    }
    // And one that does not come, under a deadline.
    const auto wait = [](asio::signal_set* s) -> task<> {
      auto asked = s->async_wait(use_task);
      static_cast<void>(co_await asked);
    };
    std::error_code error;
    co_await test::error_of(within(1ms, wait(&signals)), &error);
    CHECK(error == std::errc::timed_out);
  };
  run_beside_connections(l, guest(&l.core().context()));
}

TEST_CASE("sockets of Asio, with its coroutines, run beside weir connections on a core") {
  test::loop l;
  const auto serve = [](asio::ip::tcp::acceptor* acceptor) -> asio::awaitable<void> {
    auto socket = co_await acceptor->async_accept(asio::use_awaitable);
    char data[4];
    co_await asio::async_read(socket, asio::buffer(data), asio::use_awaitable);
    co_await asio::async_write(socket, asio::buffer(data), asio::use_awaitable);
  };
  const auto guest = [](asio::io_context* context, const decltype(serve)* server) -> task<> {
    asio::ip::tcp::acceptor acceptor(*context, {asio::ip::address_v4::loopback(), 0});
    scope both;
    both.spawn(use_task((*server)(&acceptor)));
    asio::ip::tcp::socket client(*context);
    auto connected = client.async_connect(acceptor.local_endpoint(), use_task);
    co_await connected;
    auto written = asio::async_write(client, asio::buffer("test", 4), use_task);
    co_await written;
    std::string answer(4, '\0');
    auto read = asio::async_read(client, asio::buffer(answer), use_task);
    co_await read;
    CHECK(answer == "test");
    co_await both.join();
  };
  run_beside_connections(l, guest(&l.core().context(), &serve));
}

TEST_CASE("a thread pool of Asio posts back to a core beside weir connections") {
  test::loop l;
  asio::thread_pool pool(2);
  const auto guest = [](asio::thread_pool* there, core* here) -> task<> {
    for (int i = 0; i < 100; ++i) {
      event back;
      asio::post(*there, [&back, here] { here->post([&back] { back.set(); }); });
      auto wait = back.wait();
      co_await wait;
    }
  };
  run_beside_connections(l, guest(&pool, &l.core()));
  pool.join();
}
