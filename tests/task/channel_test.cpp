#include "weir/task/channel.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <system_error>
#include <vector>

#include "alive.hpp"
#include "loop.hpp"
#include "weir/task/scope.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

task<> send_all(channel<int>* c, int from, int to, bool close) {
  for (int i = from; i < to; ++i) {
    int value = i;
    const bool sent = co_await c->send(value);
    CHECK(sent);
  }
  if (close) c->close();
}

task<> receive_all(channel<int>* c, std::vector<int>* out) {
  for (;;) {
    const auto value = co_await c->receive();
    if (!value) co_return;
    out->push_back(*value);
  }
}

task<> receive_one(channel<int>* c, std::optional<int>* out) { *out = co_await c->receive(); }
task<> send_one(channel<int>* c, int* value, std::optional<bool>* sent) { *sent = co_await c->send(*value); }

task<> wait_to_receive(channel<int>* c, int* living) {
  const test::alive here(living);
  static_cast<void>(co_await c->receive());
}
task<> wait_to_send(channel<int>* c, int* living) {
  const test::alive here(living);
  int value = 0;
  static_cast<void>(co_await c->send(value));
}

}  // namespace

TEST_CASE("what is sent is received once and in order, whatever the capacity") {
  for (const std::size_t capacity : {0U, 1U, 7U, 20'000U}) {
    test::loop l;
    channel<int> c(capacity);
    std::vector<int> got;
    l.run(send_all(&c, 0, 10'000, true), receive_all(&c, &got));
    REQUIRE(got.size() == 10'000);
    bool in_order = true;
    for (int i = 0; i < 10'000; ++i) in_order = in_order && got[static_cast<std::size_t>(i)] == i;
    CHECK(in_order);
  }
}

TEST_CASE("several senders and receivers share a channel, and nothing is lost or doubled") {
  test::loop l;
  channel<int> c(3);
  std::vector<int> a, b, d;
  const auto senders = [](channel<int>* to) -> task<> {
    scope s;
    for (int i = 0; i < 5; ++i) s.spawn(send_all(to, i * 1000, i * 1000 + 1000, false));
    co_await s.join();
    to->close();
  };
  l.run(receive_all(&c, &a), receive_all(&c, &b), senders(&c), receive_all(&c, &d));
  a.insert(a.end(), b.begin(), b.end());
  a.insert(a.end(), d.begin(), d.end());
  std::sort(a.begin(), a.end());
  REQUIRE(a.size() == 5000);
  CHECK(a.front() == 0);
  CHECK(a.back() == 4999);
  CHECK(std::adjacent_find(a.begin(), a.end()) == a.end());
}

TEST_CASE("values may be movable only") {
  test::loop l;
  const auto body = []() -> task<> {
    channel<std::unique_ptr<int>> c(1);
    auto value = std::make_unique<int>(5);
    const bool sent = co_await c.send(value);
    CHECK(sent);
    CHECK(value == nullptr);
    auto full = std::make_unique<int>(6);
    CHECK_FALSE(c.try_send(full));
    CHECK(full != nullptr);
    const auto got = co_await c.receive();
    REQUIRE(got);
    CHECK(**got == 5);
  };
  l.run(body());
}

TEST_CASE("a full channel suspends its sender until a value is received") {
  test::loop l;
  channel<int> c(2);
  const auto body = [](channel<int>* to) -> task<> {
    scope s;
    s.spawn(send_all(to, 0, 4, false));
    co_await test::rounds();
    CHECK(s.running() == 1);
    CHECK(to->size() == 2);
    for (int i = 0; i < 4; ++i) {
      const auto value = to->try_receive();
      CHECK(value == i);
      co_await test::rounds();
    }
    CHECK(s.running() == 0);
    CHECK_FALSE(to->try_receive());
    co_await s.join();
  };
  l.run(body(&c));
}

TEST_CASE("a place that is promised to a waiting sender is not taken by another") {
  test::loop l;
  channel<int> c(1);
  const auto body = [](channel<int>* to) -> task<> {
    int first = 1;
    CHECK(to->try_send(first));
    int second = 2;
    std::optional<bool> sent;
    scope s;
    s.spawn(send_one(to, &second, &sent));
    co_await test::rounds();
    CHECK(to->try_receive() == 1);
    int third = 3;
    CHECK_FALSE(to->try_send(third));
    co_await s.join();
    CHECK(sent == true);
    CHECK(to->try_receive() == 2);
  };
  l.run(body(&c));
}

TEST_CASE("a value that is promised to a waiting receiver is not taken by another") {
  test::loop l;
  channel<int> c(1);
  const auto body = [](channel<int>* from) -> task<> {
    std::optional<int> got;
    scope s;
    s.spawn(receive_one(from, &got));
    co_await test::rounds();
    int value = 1;
    CHECK(from->try_send(value));
    CHECK_FALSE(from->try_receive());
    co_await s.join();
    CHECK(got == 1);
  };
  l.run(body(&c));
}

TEST_CASE("a closed channel refuses what is sent, gives what it has, and then nothing") {
  test::loop l;
  const auto body = []() -> task<> {
    channel<int> c(2);
    int value = 1;
    CHECK(c.try_send(value));
    c.close();
    CHECK(c.is_closed());
    CHECK_FALSE(c.try_send(value));
    const bool sent = co_await c.send(value);
    CHECK_FALSE(sent);
    const auto one = co_await c.receive();
    CHECK(one == 1);
    const auto none = co_await c.receive();
    CHECK_FALSE(none);
    c.close();
  };
  l.run(body());
}

TEST_CASE("closing wakes every coroutine that waits") {
  test::loop l;
  const auto body = []() -> task<> {
    channel<int> empty(1);
    channel<int> full(1);
    int value = 1;
    CHECK(full.try_send(value));
    std::optional<int> got = 5;
    std::optional<bool> sent;
    scope s;
    s.spawn(receive_one(&empty, &got));
    s.spawn(send_one(&full, &value, &sent));
    co_await test::rounds();
    empty.close();
    full.close();
    co_await s.join();
    CHECK_FALSE(got);
    CHECK(sent == false);
    CHECK(full.try_receive() == 1);
  };
  l.run(body());
}

TEST_CASE("a cancelled send throws operation_canceled, and its value is untouched") {
  test::loop l;
  channel<std::unique_ptr<int>> c(1);
  auto first = std::make_unique<int>(1);
  REQUIRE(c.try_send(first));
  auto second = std::make_unique<int>(2);
  const auto sender = [](channel<std::unique_ptr<int>>* to, std::unique_ptr<int>* value) -> task<> {
    static_cast<void>(co_await to->send(*value));
  };
  std::error_code error;
  test::root r(l.core(), test::error_of(sender(&c, &second), &error));
  l.run(test::rounds());
  l.run(test::cancel(&r), test::until([&] { return r.has_ended(); }));
  CHECK(error == std::errc::operation_canceled);
  REQUIRE(second);
  CHECK(*second == 2);
  CHECK(c.size() == 1);
  CHECK(**c.try_receive() == 1);
  CHECK_FALSE(c.try_receive());
  CHECK(c.try_send(second));
}

TEST_CASE("a cancelled receive throws operation_canceled, and the next value goes to another") {
  test::loop l;
  channel<int> c(1);
  std::optional<int> got;
  std::optional<int> other;
  std::error_code error;
  test::root r(l.core(), test::error_of(receive_one(&c, &got), &error));
  l.run(test::rounds());
  l.run(test::cancel(&r), test::until([&] { return r.has_ended(); }));
  CHECK(error == std::errc::operation_canceled);
  l.run(receive_one(&c, &other), send_all(&c, 3, 4, false));
  CHECK(other == 3);
  CHECK_FALSE(got);
}

TEST_CASE("cancelling in the turn in which a value was granted loses no value") {
  test::loop l;
  channel<int> c(1);
  std::optional<int> got;
  std::error_code error;
  test::root r(l.core(), test::error_of(receive_one(&c, &got), &error));
  l.run(test::rounds());
  const auto both = [](channel<int>* to, chain* receiver) -> task<> {
    int value = 4;
    CHECK(to->try_send(value));
    receiver->cancel();
    co_return;
  };
  l.run(both(&c, &r), test::until([&] { return r.has_ended(); }));
  CHECK((got == 4) == (c.size() == 0));
  CHECK((error == std::errc::operation_canceled) == !got);
}

TEST_CASE("a value granted to a frame that is destroyed goes to the next in line") {
  test::loop l;
  channel<int> c(1);
  std::optional<int> lost;
  std::optional<int> got;
  std::optional<test::root> first;
  first.emplace(l.core(), receive_one(&c, &lost));
  l.run(test::rounds());
  const auto both = [](channel<int>* to, std::optional<test::root>* receiver) -> task<> {
    co_await test::rounds();
    int value = 4;
    CHECK(to->try_send(value));
    receiver->reset();
  };
  l.run(receive_one(&c, &got), both(&c, &first));
  CHECK(got == 4);
  CHECK_FALSE(lost);
}

TEST_CASE("a place granted to a frame that is destroyed goes to the next in line") {
  test::loop l;
  channel<int> c(1);
  int values[] = {1, 2, 3};
  REQUIRE(c.try_send(values[0]));
  std::optional<bool> sent[2];
  std::optional<test::root> first;
  first.emplace(l.core(), send_one(&c, &values[1], &sent[0]));
  l.run(test::rounds());
  const auto both = [](channel<int>* from, std::optional<test::root>* sender) -> task<> {
    co_await test::rounds();
    CHECK(from->try_receive() == 1);
    sender->reset();
  };
  l.run(send_one(&c, &values[2], &sent[1]), both(&c, &first));
  CHECK_FALSE(sent[0]);
  CHECK(sent[1] == true);
  CHECK(c.try_receive() == 3);
}

TEST_CASE("a thousand tasks that wait for channels are destroyed with their core") {
  channel<int> empty(1);
  channel<int> full(1);
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
