#include "weir/core/cross_channel.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "alive.hpp"
#include "loop.hpp"
#include "weir/core/core_pool.hpp"
#include "weir/core/test_core.hpp"
#include "weir/task/scope.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

const std::vector<std::optional<int>> two{std::nullopt, std::nullopt};

// The sender's name and the place of the value in what it sends.
using numbered = std::pair<int, int>;

task<> send_all(cross_channel<numbered>* c, int name, int n, std::atomic<int>* senders_left) {
  for (int i = 0; i < n; ++i) {
    numbered value{name, i};
    const bool sent = co_await c->send(value);
    if (!sent) break;
  }
  if (--*senders_left == 0) c->close();
}

struct received {
  std::vector<numbered> values;
  bool on_its_core = true;
};

task<> receive_all(cross_channel<numbered>* c, received* out, core_pool* pool, std::atomic<int>* left) {
  const unsigned home = core::here().index();
  for (;;) {
    const auto value = co_await c->receive();
    out->on_its_core = out->on_its_core && core::here().index() == home;
    if (!value) break;
    out->values.push_back(*value);
  }
  if (--*left == 0) pool->stop();
}

bool in_order(const received& r, int senders) {
  std::vector<int> last(static_cast<std::size_t>(senders), -1);
  for (const auto& [name, place] : r.values) {
    if (place <= std::exchange(last[static_cast<std::size_t>(name)], place)) return false;
  }
  return true;
}

task<> receive_one(cross_channel<int>* c, std::optional<int>* out) { *out = co_await c->receive(); }
task<> send_one(cross_channel<int>* c, int* value, std::optional<bool>* sent) {
  *sent = co_await c->send(*value);
}

task<> wait_to_receive(cross_channel<int>* c, int* living) {
  const test::alive here(living);
  static_cast<void>(co_await c->receive());
}
task<> wait_to_send(cross_channel<int>* c, int* living) {
  const test::alive here(living);
  int value = 0;
  static_cast<void>(co_await c->send(value));
}

}  // namespace

TEST_CASE("a hundred thousand values cross from one core to the other in order") {
  for (const std::size_t capacity : {1U, 64U}) {
    const int n = capacity == 1 ? 5'000 : 100'000;
    core_pool pool(two, {});
    cross_channel<numbered> c(capacity);
    std::atomic<int> senders{1};
    std::atomic<int> receivers{1};
    received got;
    pool[0].spawn(send_all(&c, 0, n, &senders));
    pool[1].spawn(receive_all(&c, &got, &pool, &receivers));
    pool.run();
    CHECK(got.values.size() == static_cast<std::size_t>(n));
    CHECK(in_order(got, 1));
    CHECK(got.on_its_core);
  }
}

TEST_CASE("senders and receivers on both cores: each value comes once, each sender's in order") {
  core_pool pool(two, {});
  cross_channel<numbered> c(16);
  std::atomic<int> senders{4};
  std::atomic<int> receivers{4};
  std::vector<received> got(4);
  for (int i = 0; i < 4; ++i) {
    const auto at = static_cast<std::size_t>(i);
    pool[at % 2].spawn(receive_all(&c, &got[at], &pool, &receivers));
    pool[at / 2].spawn(send_all(&c, i, 25'000, &senders));
  }
  pool.run();
  std::size_t all = 0;
  bool ordered = true;
  std::vector<bool> seen(100'000);
  for (const auto& r : got) {
    all += r.values.size();
    ordered = ordered && in_order(r, 4) && r.on_its_core;
    for (const auto& [name, place] : r.values) seen[static_cast<std::size_t>(name * 25'000 + place)] = true;
  }
  CHECK(all == 100'000);
  CHECK(ordered);
  CHECK(std::find(seen.begin(), seen.end(), false) == seen.end());
}

TEST_CASE("a thread without a core sends what a core receives") {
  test::loop l;
  cross_channel<int> c(1);
  const auto body = [](cross_channel<int>* from, int* sum) -> task<> {
    for (;;) {
      const auto value = co_await from->receive();
      if (!value) co_return;
      *sum += *value;
    }
  };
  std::jthread other([&c] {
    for (int i = 1; i <= 1000; ++i) {
      int value = i;
      while (!c.try_send(value)) std::this_thread::yield();
    }
    c.close();
  });
  int sum = 0;
  l.run(body(&c, &sum));
  CHECK(sum == 500'500);
}

TEST_CASE("a closed cross_channel refuses what is sent, gives what it has, and then nothing") {
  test::loop l;
  const auto body = []() -> task<> {
    cross_channel<int> c(0);
    int value = 1;
    const bool sent = co_await c.send(value);
    CHECK(sent);
    CHECK_FALSE(c.try_send(value));
    CHECK(c.size() == 1);
    c.close();
    const bool late = co_await c.send(value);
    CHECK_FALSE(late);
    const auto one = co_await c.receive();
    CHECK(one == 1);
    const auto none = co_await c.receive();
    CHECK_FALSE(none);
    CHECK_FALSE(c.try_receive());
  };
  l.run(body());
}

TEST_CASE("closing a cross_channel wakes who waits on either core") {
  core_pool pool(two, {});
  cross_channel<int> empty(1);
  cross_channel<int> full(1);
  int value = 1;
  REQUIRE(full.try_send(value));
  std::atomic<int> left{2};
  std::optional<int> got = 5;
  std::optional<bool> sent;
  const auto end = [](core_pool* p, std::atomic<int>* n) {
    if (--*n == 0) p->stop();
  };
  const auto receiver = [](cross_channel<int>* c, std::optional<int>* out, const decltype(end)* over,
                           core_pool* p, std::atomic<int>* n) -> task<> {
    *out = co_await c->receive();
    (*over)(p, n);
  };
  const auto sender = [](cross_channel<int>* c, std::optional<bool>* out, const decltype(end)* over,
                         core_pool* p, std::atomic<int>* n) -> task<> {
    int one = 1;
    *out = co_await c->send(one);
    (*over)(p, n);
  };
  const auto closer = [](cross_channel<int>* a, cross_channel<int>* b) -> task<> {
    co_await sleep_for(5ms);
    a->close();
    b->close();
  };
  pool[1].spawn(receiver(&empty, &got, &end, &pool, &left));
  pool[0].spawn(sender(&full, &sent, &end, &pool, &left));
  pool[0].spawn(closer(&empty, &full));
  pool.run();
  CHECK_FALSE(got);
  CHECK(sent == false);
  CHECK(full.try_receive() == 1);
}

TEST_CASE("a cancelled send into a cross_channel leaves its value untouched and its place to others") {
  test::loop l;
  cross_channel<std::unique_ptr<int>> c(1);
  auto first = std::make_unique<int>(1);
  REQUIRE(c.try_send(first));
  auto second = std::make_unique<int>(2);
  const auto sender = [](cross_channel<std::unique_ptr<int>>* to, std::unique_ptr<int>* value) -> task<> {
    static_cast<void>(co_await to->send(*value));
  };
  std::error_code error;
  test::root r(l.core(), test::error_of(sender(&c, &second), &error));
  l.run(test::rounds());
  l.run(test::cancel(&r), test::until([&] { return r.has_ended(); }));
  CHECK(error == std::errc::operation_canceled);
  REQUIRE(second);
  CHECK(*second == 2);
  CHECK(**c.try_receive() == 1);
  CHECK_FALSE(c.try_receive());
}

TEST_CASE("a send that was taken before it is cancelled is sent") {
  test::loop l;
  cross_channel<int> c(1);
  int values[] = {1, 2};
  REQUIRE(c.try_send(values[0]));
  std::optional<bool> sent;
  test::root r(l.core(), send_one(&c, &values[1], &sent));
  l.run(test::rounds());
  const auto both = [](cross_channel<int>* from, chain* sender) -> task<> {
    CHECK(from->try_receive() == 1);
    sender->cancel();
    co_return;
  };
  l.run(both(&c, &r), test::until([&] { return r.has_ended(); }));
  CHECK(sent == true);
  CHECK(c.try_receive() == 2);
}

TEST_CASE("a cancelled receive from a cross_channel loses no value") {
  test::loop l;
  cross_channel<int> c(1);
  std::optional<int> got;
  std::error_code error;
  test::root r(l.core(), test::error_of(receive_one(&c, &got), &error));
  l.run(test::rounds());
  SECTION("while it waits") {
    l.run(test::cancel(&r), test::until([&] { return r.has_ended(); }));
    CHECK(error == std::errc::operation_canceled);
    int value = 3;
    CHECK(c.try_send(value));
    CHECK(c.try_receive() == 3);
  }
  SECTION("when it has been given one") {
    const auto both = [](cross_channel<int>* to, chain* receiver) -> task<> {
      int value = 4;
      CHECK(to->try_send(value));
      receiver->cancel();
      co_return;
    };
    l.run(both(&c, &r), test::until([&] { return r.has_ended(); }));
    CHECK((got == 4) == (c.size() == 0));
  }
}

TEST_CASE("cancelling receivers while another core sends loses and doubles nothing") {
  core_pool pool(two, {});
  cross_channel<int> c(4);
  // Receives for as long as it is not cancelled; each receiver lives for a few turns only.
  const auto receiver = [](cross_channel<int>* from, std::vector<int>* out) -> task<> {
    for (;;) {
      const auto value = co_await from->receive();
      if (!value) co_return;
      out->push_back(*value);
    }
  };
  const auto body = [](const decltype(receiver)* receive, cross_channel<int>* from, std::vector<int>* out,
                       core_pool* p) -> task<> {
    while (out->size() < 20'000) {
      scope s;
      for (int i = 0; i < 3; ++i) s.spawn((*receive)(from, out));
      co_await test::rounds(3);
      s.cancel();
      co_await s.join();
    }
    p->stop();
  };
  const auto sender = [](cross_channel<int>* to) -> task<> {
    for (int i = 0; i < 20'000; ++i) {
      int value = i;
      co_await to->send(value);
    }
  };
  std::vector<int> got;
  pool[0].spawn(body(&receiver, &c, &got, &pool));
  pool[1].spawn(sender(&c));
  pool.run();
  std::sort(got.begin(), got.end());
  REQUIRE(got.size() == 20'000);
  CHECK(std::adjacent_find(got.begin(), got.end()) == got.end());
}

TEST_CASE("a receiver that is destroyed after its wake-up has come home is forgotten") {
  test::loop l;
  cross_channel<int> c(1);
  std::optional<int> lost;
  std::optional<int> got;
  std::optional<test::root> first;
  first.emplace(l.core(), receive_one(&c, &lost));
  l.run(test::rounds());
  // Always in the run queue, so that a chain that is woken stands behind it.
  const auto destroy_when_queued = [](std::optional<test::root>* r) -> task<> {
    while (!(*r)->is_queued()) co_await yield();
    r->reset();
  };
  int value = 4;
  l.core().post([&] { REQUIRE(c.try_send(value)); });
  l.run(destroy_when_queued(&first));
  REQUIRE_FALSE(first);
  l.run(receive_one(&c, &got));
  CHECK(got == 4);
  CHECK_FALSE(lost);
}

TEST_CASE("a thousand tasks that wait for cross_channels are destroyed with their core") {
  cross_channel<int> empty(1);
  cross_channel<int> full(1);
  int value = 1;
  REQUIRE(full.try_send(value));
  test::loop l;
  int living = 0;
  for (int i = 0; i < 500; ++i) {
    l.core().spawn(wait_to_receive(&empty, &living));
    l.core().spawn(wait_to_send(&full, &living));
  }
  l.run(test::rounds());
  CHECK(living == 1000);
  SECTION("as they wait") {}
  SECTION("when all have just been woken") {
    empty.close();
    full.close();
  }
  l.destroy();
  CHECK(living == 0);
}

// What grows with the square of the number could not end within the time that a test has.
TEST_CASE("two hundred thousand coroutines that wait in a cross_channel are cancelled") {
  test::loop l;
  cross_channel<int> nothing(1);
  const auto wait = [](cross_channel<int>* c) -> task<> { static_cast<void>(co_await c->receive()); };
  const auto body = [](cross_channel<int>* c, const decltype(wait)* each) -> task<> {
    scope s;
    for (int i = 0; i < 200'000; ++i) s.spawn((*each)(c));
    co_await test::rounds();
    CHECK(s.running() == 200'000);
    s.cancel();
    co_await s.join();
  };
  l.run(body(&nothing, &wait));
  int value = 7;
  CHECK(nothing.try_send(value));
  CHECK(nothing.try_receive() == 7);
}

namespace {

// One that cannot be moved, as if there were no memory for it.
struct fragile {
  explicit fragile(int n) : number(n) {}
  fragile(fragile&& other) : number(other.number) {
    if (number == stuck) throw std::bad_alloc();
  }
  int number;
  static inline int stuck = 0;
};

task<> send_one(cross_channel<fragile>* c, int number) {
  fragile value(number);
  static_cast<void>(co_await c->send(value));
}

struct outcome {
  std::vector<int> received;
  int failures = 0;
};

task<> receive_one(cross_channel<fragile>* c, outcome* out) {
  try {
    const auto value = co_await c->receive();
    out->received.push_back(value->number);
  } catch (const std::bad_alloc&) {
    ++out->failures;
  }
}

}  // namespace

TEST_CASE("a receiver that finds no memory for the next sender's value says so, and no value is lost") {
  test_core core;
  cross_channel<fragile> c(1);
  outcome out;
  for (const int number : {1, 2, 3}) core->spawn(send_one(&c, number));
  core.settle();
  fragile::stuck = 2;
  core->spawn(receive_one(&c, &out));
  core.settle();
  CHECK(out.failures == 1);
  CHECK(out.received.empty());
  fragile::stuck = 0;
  for (int i = 0; i < 3; ++i) core->spawn(receive_one(&c, &out));
  core.settle();
  CHECK(out.received == std::vector<int>{1, 2, 3});
  CHECK(c.size() == 0);
}
