#include "weir/connection/detail/open_layers.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <memory>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>

#include "loop.hpp"
#include "weir/connection/detail/connection_starter.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

// What a test knows of the layers, which may outlive everything else.
struct seen {
  std::counting_semaphore<> begun{0};
  std::counting_semaphore<> may_end{0};
  std::atomic<int> alive{0};
  std::thread::id opened_on;
  std::thread::id destroyed_on;
  int failed = 0;
  int late = 0;
};

// Opens by one long step when a byte has come, and passes bytes on as they are.
class slow_layer final : public stream_layer {
 public:
  explicit slow_layer(seen& s) : seen_(s) { ++seen_.alive; }
  ~slow_layer() override {
    seen_.destroyed_on = std::this_thread::get_id();
    --seen_.alive;
  }
  long recv(void* into, std::size_t size) noexcept override { return socket_recv(into, size); }
  long send(const void* from, std::size_t size, int flags) noexcept override {
    return socket_send(from, size, flags);
  }
  long flush() noexcept override { return 0; }
  bool has_unsent() const noexcept override { return false; }
  long open() noexcept override { return is_open_ ? 0 : -EPROTO; }
  bool opens_slowly() const noexcept override { return !is_open_; }
  long hear() noexcept override {
    char one;
    const long n = socket_recv(&one, 1);
    return n == 1 ? 0 : n == 0 ? -ECONNRESET : n;
  }
  void open_apart() noexcept override {
    seen_.opened_on = std::this_thread::get_id();
    seen_.begun.release();
    seen_.may_end.acquire();
    is_open_ = true;
  }
  void come_home() noexcept override {}
  bool holds_input() const noexcept override { return false; }
  tls_info info() const override { return {}; }
  bool was_resumed() const noexcept override { return false; }
  std::string reason() const override { return "as the test wants"; }
  void end_output() noexcept override {}

 private:
  seen& seen_;
  bool is_open_ = false;
};

class slow_source final : public layer_source {
 public:
  explicit slow_source(seen& s) : seen_(s) {}
  std::unique_ptr<stream_layer> accept() override { return std::make_unique<slow_layer>(seen_); }
  void has_failed(failure how, const stream_layer&, const peer_address&) noexcept override {
    ++(how == failure::timeout ? seen_.late : seen_.failed);
  }

 private:
  seen& seen_;
};

task<> echo(connection c) {
  while (auto data = co_await c.receive()) co_await c.send(data);
}

settings with(std::uint32_t queue, std::chrono::milliseconds timeout) {
  settings s;
  s.workers.count = 1;
  s.workers.queue = queue;
  s.tls.handshake_timeout = timeout;
  return s;
}

struct fixture {
  explicit fixture(std::uint32_t queue = 10, std::chrono::milliseconds timeout = 1h)
      : handler(echo),
        l(with(queue, timeout)),
        here(l.core(), with(queue, timeout), handler, all, nullptr, nullptr, nullptr, &source) {
    source.set(std::make_shared<slow_source>(saw));
  }
  ~fixture() { l.destroy(); }

  unique_fd delivered() {
    auto ends = test::unix_pair();
    test::make_non_blocking(ends.a.get());
    here.deliver({std::move(ends.a), {}, all.try_acquire(), {.tls = true}});
    return std::move(ends.b);
  }

  seen saw;
  permit_pool all{1000};
  connection_handler handler;
  present_source source;
  test::loop l;
  connection_starter here;
};

}  // namespace

TEST_CASE("a long step of an opening runs on another thread while its core serves others") {
  fixture f;
  test::half other(f.l);
  const unique_fd client = f.delivered();
  test::put(client.get(), "!hello");
  f.l.run(test::until([&] { return f.saw.begun.try_acquire(); }));
  CHECK(f.saw.opened_on != std::this_thread::get_id());
  const auto greet = [](connection* c) -> task<> { co_await c->send("beside"); };
  f.l.run(greet(&other.here));
  CHECK(test::drained(other.there.get()) == "beside");
  f.saw.may_end.release();
  std::string got;
  f.l.run(test::until([&] { return (got += test::drained(client.get())) == "hello"; }));
  CHECK(f.saw.failed + f.saw.late == 0);
}

TEST_CASE("a connection is cut at its deadline while a step runs, which keeps the layer until it has ended") {
  fixture f(10, 20ms);
  const unique_fd client = f.delivered();
  test::put(client.get(), "!");
  f.l.run(test::until([&] { return f.saw.begun.try_acquire(); }));
  f.l.run(test::until([&] { return f.here.load() == 0; }));
  CHECK(f.saw.late == 1);
  CHECK(f.saw.alive == 1);
  f.saw.may_end.release();
  f.l.run(test::until([&] { return f.saw.alive == 0; }));
  CHECK(f.saw.destroyed_on == std::this_thread::get_id());
}

TEST_CASE("a step that waits for a thread is not taken for a connection that has gone") {
  fixture f(10, 20ms);
  const unique_fd first = f.delivered();
  test::put(first.get(), "!");
  f.l.run(test::until([&] { return f.saw.begun.try_acquire(); }));
  const unique_fd second = f.delivered();
  test::put(second.get(), "!");
  f.l.run(test::until([&] { return f.here.load() == 0; }));
  CHECK(f.saw.late == 2);
  f.saw.may_end.release(2);
  f.l.run(test::until([&] { return f.saw.alive == 0; }));
  CHECK_FALSE(f.saw.begun.try_acquire());
}

TEST_CASE("a step is taken on the core where no thread has room for it") {
  fixture f(0);
  f.saw.may_end.release();
  const unique_fd client = f.delivered();
  test::put(client.get(), "!hello");
  std::string got;
  f.l.run(test::until([&] { return (got += test::drained(client.get())) == "hello"; }));
  CHECK(f.saw.opened_on == std::this_thread::get_id());
}

TEST_CASE("a core that goes waits for the step that runs") {
  seen* saw = nullptr;
  std::jthread ends;
  {
    fixture f;
    saw = &f.saw;
    const unique_fd client = f.delivered();
    test::put(client.get(), "!");
    f.l.run(test::until([&] { return f.saw.begun.try_acquire(); }));
    ends = std::jthread([saw] {
      std::this_thread::sleep_for(20ms);
      saw->may_end.release();
    });
    f.l.destroy();
    CHECK(f.saw.alive == 0);
    ends.join();
  }
}
