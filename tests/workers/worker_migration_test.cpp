#include "weir/workers/detail/worker_migration.hpp"

#include <malloc.h>
#include <sys/socket.h>

#include <catch2/catch.hpp>

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "loop.hpp"
#include "weir/connection/detail/connection_starter.hpp"
#include "weir/connection/detail/stream_layer.hpp"
#include "weir/task/scope.hpp"

using namespace weir;

namespace {

// The test is the worker.
class hand_queue final : public worker_queue {
 public:
  explicit hand_queue(bool core_does_io = true) : worker_queue(core_does_io) {}
  [[nodiscard]] migration* migrate(connection_state& c) override { return new worker_migration(c, *this); }
  void push(connection_state& c) noexcept override { ready.push_back(&c); }
  [[nodiscard]] bool reserve(connection_state&) noexcept override { return true; }
  void give_back() noexcept override {}
  void withdraw(connection_state&) noexcept override {}

  std::deque<connection_state*> ready;
};

task<> read_all(connection c) {
  while (auto data = co_await c.receive()) {
  }
}

// The core of a connection has received for a handler, and ends before a worker goes on with it.
void end_with_bytes_that_wait() {
  settings s;
  s.loop.chunk_size = 16384;
  hand_queue queue;
  permit_pool permits(1);
  const connection_handler handler = read_all;
  core away(1, std::nullopt, s, nullptr, nullptr, {.handlers_migrate = true, .opens_late = true});
  worker there(away);
  std::optional<core> home;
  home.emplace(0U, std::nullopt, s, nullptr, nullptr, core_role{.handlers_migrate = true});
  std::optional<core::entered> here(*home);
  connection_starter starter(*home, s, handler, permits);
  starter.run_handlers_on(queue);
  test::sockets ends = test::unix_pair();
  test::make_non_blocking(ends.a.get());
  starter.deliver({std::move(ends.a), peer_address(), permits.try_acquire()});
  home->poll();
  REQUIRE(queue.ready.size() == 1);
  {
    const core::entered worker_runs(away);
    there.take_in(*queue.ready.front());
  }
  queue.ready.clear();
  REQUIRE(::send(ends.b.get(), "bytes", 5, 0) == 5);
  home->poll();
  REQUIRE(queue.ready.size() == 1);  // with the bytes
  here.reset();
  home.reset();
}

// Takes all that is sent at once, and keeps what the socket has no room for, as that of TLS does.
class keeping_layer final : public stream_layer {
 public:
  long recv(void* into, std::size_t size) noexcept override { return socket_recv(into, size); }
  long send(const void* from, std::size_t size, int) noexcept override {
    unsent_.append(static_cast<const char*>(from), size);
    const long n = flush();
    return n < 0 && n != -EAGAIN ? n : static_cast<long>(size);
  }
  long flush() noexcept override {
    while (!unsent_.empty()) {
      const long n = socket_send(unsent_.data(), unsent_.size(), 0);
      if (n < 0) return n;
      unsent_.erase(0, static_cast<std::size_t>(n));
    }
    return 0;
  }
  bool has_unsent() const noexcept override { return !unsent_.empty(); }
  long open() noexcept override { return 0; }
  bool opens_slowly() const noexcept override { return false; }
  long hear() noexcept override { return 0; }
  void open_apart() noexcept override {}
  void come_home() noexcept override {}
  bool holds_input() const noexcept override { return false; }
  tls_info info() const override { return {}; }
  bool was_resumed() const noexcept override { return false; }
  std::string reason() const override { return {}; }
  void end_output() noexcept override {}

 private:
  std::string unsent_;
};

// A connection whose handler runs on a worker. The test is all of its threads.
struct migrating {
  migrating(connection_handler h, bool core_does_io)
      : queue(core_does_io), handler(std::move(h)), starter(*home, s, handler, permits) {
    starter.run_handlers_on(queue);
    test::make_non_blocking(ends.a.get());
    test::make_non_blocking(ends.b.get());
    const core::entered here(*home);
    starter.deliver({std::move(ends.a), peer_address(), permits.try_acquire()});
  }
  ~migrating() { home.reset(); }

  // Gives each thread its turns until `fact` holds.
  template <class Fact>
  [[nodiscard]] bool run_until(Fact fact) {
    const auto end = std::chrono::steady_clock::now() + test::deadline;
    while (!fact()) {
      if (std::chrono::steady_clock::now() > end) return false;
      {
        const core::entered here(*home);
        home->poll();
      }
      const core::entered here(away);
      while (!queue.ready.empty()) {
        connection_state& next = *queue.ready.front();
        queue.ready.pop_front();
        there.take_in(next);
      }
      away.poll();
    }
    return true;
  }

  settings s;
  hand_queue queue;
  connection_handler handler;
  permit_pool permits{1};
  core away{1, std::nullopt, s, nullptr, nullptr, {.handlers_migrate = true, .opens_late = true}};
  worker there{away};
  std::optional<core> home{
      std::in_place, 0U, std::nullopt, s, nullptr, nullptr, core_role{.handlers_migrate = true}};
  connection_starter starter;
  test::sockets ends = test::unix_pair();
};

// What a handler does that has more to send than its socket takes.
struct busy_handler {
  const std::string text = test::pattern(400'000);  // which the layer takes in one turn
  keeping_layer* layer = nullptr;
  std::size_t received = 0;
  bool gave_up = false;
  bool has_sent = false;
  bool has_ended = false;

  void begin(connection& c) {
    auto made = std::make_unique<keeping_layer>();
    layer = made.get();
    c.state().set_layer(std::move(made));
  }
  static task<> send(connection* c, busy_handler* of) {
    const bool sent = co_await c->send(of->text);
    of->has_sent = sent;
  }
  static task<> receive(connection* c, busy_handler* of) {
    const auto data = co_await c->receive();
    of->received += data.size();
  }
  static task<> receive_beside(connection c, busy_handler* of) {
    of->begin(c);
    scope beside;
    beside.spawn(send(&c, of));
    for (int i = 0; i < 2; ++i) co_await receive(&c, of);
    co_await beside.join();
    of->has_ended = true;
  }
  static task<> give_up_and_send(connection c, busy_handler* of) {
    of->begin(c);
    for (const auto what : {&send, &receive}) {
      scope given_up;
      given_up.spawn(what(&c, of));
      for (int i = 0; i < 3; ++i) co_await yield();
      given_up.cancel();
      co_await given_up.join();
    }
    of->gave_up = true;
    const bool sent = co_await c.send("last");
    of->has_sent = sent;
    of->has_ended = true;
  }
};

}  // namespace

// What the handler waits for differs from what the socket is waited for: an operation once took the place of
// the other direction's.
TEST_CASE("a handler on a worker receives while its layer has bytes to send, and both directions go on") {
  const bool core_does_io = GENERATE(true, false);
  CAPTURE(core_does_io);
  busy_handler its;
  migrating f([&its](connection c) { return busy_handler::receive_beside(std::move(c), &its); },
              core_does_io);
  REQUIRE(f.run_until([&] { return its.layer != nullptr && its.layer->has_unsent(); }));
  test::put(f.ends.b.get(), "a");
  REQUIRE(f.run_until([&] { return its.received == 1; }));  // and waits for more
  std::string got;
  REQUIRE(f.run_until([&] { return (got += test::drained(f.ends.b.get())).size() == its.text.size(); }));
  CHECK(got == its.text);
  REQUIRE(f.run_until([&] { return its.has_sent; }));
  test::put(f.ends.b.get(), "b");
  REQUIRE(f.run_until([&] { return its.has_ended; }));
  CHECK(its.received == 2);
}

TEST_CASE(
    "a wait for input that is given up while a layer has bytes to send leaves the other direction free") {
  const bool core_does_io = GENERATE(true, false);
  CAPTURE(core_does_io);
  busy_handler its;
  migrating f([&its](connection c) { return busy_handler::give_up_and_send(std::move(c), &its); },
              core_does_io);
  std::string got;
  REQUIRE(f.run_until([&] {
    if (its.gave_up) got += test::drained(f.ends.b.get());
    return its.has_ended;
  }));
  CHECK(its.has_sent);
  REQUIRE(f.run_until([&] { return (got += test::drained(f.ends.b.get())).size() == its.text.size() + 4; }));
  CHECK(got == its.text + "last");
}

TEST_CASE("bytes that were received for a handler that no worker goes on with are freed with the core") {
  for (int i = 0; i < 20; ++i) end_with_bytes_that_wait();
  const auto before = ::mallinfo2().uordblks;
  constexpr int times = 200;
  for (int i = 0; i < times; ++i) end_with_bytes_that_wait();
  CHECK(::mallinfo2().uordblks < before + times * 16384 / 4);
}
