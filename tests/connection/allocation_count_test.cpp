// What the heap is asked for: nothing by an echo, and nothing by a connection after the first ones.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <thread>
#include <vector>

#include "loop.hpp"
#include "weir/connection/detail/connection_starter.hpp"
#include "weir/core/test_core.hpp"

// glibc's own, behind those that are counted.
extern "C" void* __libc_malloc(std::size_t);                 // NOLINT(*-reserved-identifier)
extern "C" void* __libc_memalign(std::size_t, std::size_t);  // NOLINT(*-reserved-identifier)

namespace {

std::atomic<std::size_t> calls{0};

}  // namespace

extern "C" void* malloc(std::size_t size) {
  ++calls;
  return __libc_malloc(size);
}
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t size) {
  ++calls;
  return __libc_memalign(alignment, size);
}

using namespace weir;

namespace {

task<> echo(connection c) {
  while (auto data = co_await c.receive()) co_await c.send(data);
}

struct fixture {
  fixture() : here(*core, settings(), handler, all) {}

  // The client at the other end of a connection that is served, delivered by another thread if told so.
  unique_fd connected(bool from_elsewhere = false) {
    auto ends = test::unix_pair();
    test::make_non_blocking(ends.a.get());
    accepted_socket s{std::move(ends.a), {}, all.try_acquire()};
    if (from_elsewhere)
      std::thread([&] { here.deliver(std::move(s)); }).join();
    else
      here.deliver(std::move(s));
    core.settle();
    return std::move(ends.b);
  }
  bool echoes(int client) {
    char byte = 'x';
    const bool sent = ::send(client, &byte, 1, 0) == 1;
    core.settle();
    return sent && ::recv(client, &byte, 1, MSG_DONTWAIT) == 1;
  }

  permit_pool all{1000};
  connection_handler handler{echo};
  test_core core{test::over_io_of_run()};
  connection_starter here;
};

}  // namespace

TEST_CASE("an echo takes no memory") {
  fixture f;
  const unique_fd client = f.connected();
  bool good = true;
  for (int i = 0; i < 10; ++i) good = good && f.echoes(client.get());
  const std::size_t before = calls;
  for (int i = 0; i < 1000; ++i) good = good && f.echoes(client.get());
  const std::size_t after = calls;
  CHECK(good);
  CHECK(after == before);
}

// A batch of more than one: over io_uring each send has its completion.
TEST_CASE("echoes of several clients at once take no memory") {
  fixture f;
  const unique_fd clients[] = {f.connected(), f.connected(), f.connected()};
  bool good = true;
  const auto all_echo = [&] {
    char byte = 'x';
    for (const unique_fd& c : clients) good = good && ::send(c.get(), &byte, 1, 0) == 1;
    f.core.settle();
    for (const unique_fd& c : clients) good = good && ::recv(c.get(), &byte, 1, MSG_DONTWAIT) == 1;
  };
  for (int i = 0; i < 200; ++i) all_echo();
  const std::size_t before = calls;
  for (int i = 0; i < 1000; ++i) all_echo();
  const std::size_t after = calls;
  CHECK(good);
  CHECK(after == before);
}

TEST_CASE("a connection takes no memory after those that were there at a time before") {
  fixture f;
  bool good = true;
  const auto three_at_a_time = [&] {
    const unique_fd first = f.connected();
    const unique_fd second = f.connected();
    const unique_fd third = f.connected();
    for (const unique_fd* c : {&first, &second, &third}) good = good && f.echoes(c->get());
  };
  for (int i = 0; i < 3; ++i) {
    three_at_a_time();
    f.core.settle();
  }
  const std::size_t before = calls;
  for (int i = 0; i < 200; ++i) {
    three_at_a_time();
    f.core.settle();
  }
  const std::size_t after = calls;
  CHECK(good);
  CHECK(after == before);
  CHECK(f.here.load() == 0);
}

TEST_CASE("the hand-over of a connection from another thread takes no memory of its own") {
  fixture f;
  bool good = true;
  const auto one = [&] {
    const unique_fd client = f.connected(true);
    good = good && f.echoes(client.get());
  };
  const auto nothing = [] { std::thread([] {}).join(); };
  for (int i = 0; i < 3; ++i) one();
  f.core.settle();
  const std::size_t before = calls;
  for (int i = 0; i < 50; ++i) nothing();
  const std::size_t between = calls;
  for (int i = 0; i < 50; ++i) {
    one();
    f.core.settle();
  }
  const std::size_t after = calls;
  CHECK(good);
  CHECK(after - between == between - before);  // what the threads take
}
