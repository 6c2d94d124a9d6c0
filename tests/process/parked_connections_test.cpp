#include "weir/process/detail/parked_connections.hpp"

#include <fcntl.h>

#include <catch2/catch.hpp>

#include <vector>

#include "sockets.hpp"
#include "weir/process/detail/signals.hpp"

using namespace weir;
using namespace weir::process;
using namespace std::chrono_literals;

namespace {

bool is_ended(const unique_fd& fd) {
  char one;
  return ::recv(fd.get(), &one, 1, MSG_DONTWAIT) == 0;
}

struct fixture {
  signal_source signals;
  parked_connections parked;
  std::vector<unique_fd> clients;

  // Its number.
  int add(std::string_view said = {}) {
    auto ends = test::tcp_pair();
    const int fd = ends.a.get();
    if (!said.empty()) {
      test::put(ends.b.get(), said);
      CHECK(test::wait_readable(fd));
    }
    clients.push_back(std::move(ends.b));
    parked.add(std::move(ends.a));
    return fd;
  }
};

}  // namespace

TEST_CASE("bytes that come are told by a signal with the connection's number, and by nothing else") {
  fixture f;
  f.add();
  const int second = f.add();
  CHECK_FALSE(f.signals.next());
  CHECK_FALSE(f.parked.take_awake());
  test::put(f.clients[1].get(), "hello");
  CHECK(test::wait_readable(second));
  const auto told = f.signals.next();
  REQUIRE(told);
  CHECK(told->number == io_signal());
  CHECK(told->fd == second);
  f.parked.stirred(told->fd);
  const auto taken = f.parked.take_awake();
  CHECK(taken.get() == second);
  CHECK((::fcntl(second, F_GETFL) & O_ASYNC) == 0);  // its next owner's bytes are no business of this process
  CHECK(f.parked.size() == 1);
  CHECK_FALSE(f.parked.take_awake());
}

TEST_CASE("bytes that came before are not waited for") {
  fixture f;
  const int fd = f.add("hello");
  CHECK(f.parked.has_awake());
  CHECK(f.parked.take_awake().get() == fd);
}

TEST_CASE("when signals were lost each connection is looked at") {
  fixture f;
  for (int i = 0; i < 10; ++i) f.add();
  test::put(f.clients[3].get(), "hello");
  test::put(f.clients[7].get(), "hello");
  f.parked.any_stirred();
  CHECK(f.parked.take_awake());
  CHECK(f.parked.take_awake());
  CHECK_FALSE(f.parked.take_awake());
  CHECK(f.parked.size() == 8);
}

TEST_CASE("a signal with the number of no connection, or of another one by now, wakes none") {
  fixture f;
  const int fd = f.add();
  f.parked.stirred(fd);
  f.parked.stirred(fd + 1000);
  CHECK_FALSE(f.parked.take_awake());
  CHECK(f.parked.size() == 1);
}

TEST_CASE("a connection whose peer has left is closed, unless it has said something before") {
  fixture f;
  f.add();
  f.add();
  test::put(f.clients[1].get(), "goodbye");
  for (auto& each : f.clients) each.reset();
  f.parked.any_stirred();
  CHECK(f.parked.take_awake());
  CHECK_FALSE(f.parked.take_awake());
  CHECK(f.parked.size() == 0);
}

TEST_CASE("a connection that says nothing for the timeout is closed, the oldest first") {
  fixture f;
  f.add();
  const auto now = parked_connections::clock::now();
  CHECK(f.parked.close_idle(0ms, now + 24h) == parked_connections::clock::time_point::max());
  const auto when = f.parked.close_idle(30s, now);
  CHECK(when > now + 29s);
  CHECK(when <= now + 30s);
  CHECK(f.parked.size() == 1);
  CHECK(f.parked.close_idle(30s, when) == parked_connections::clock::time_point::max());
  CHECK(f.parked.size() == 0);
  CHECK(is_ended(f.clients[0]));
}

TEST_CASE("connections go to another master, and stay while its channel is full") {
  fixture f;
  for (int i = 0; i < 400; ++i) f.add();
  auto [mine, theirs] = descriptor_channel::make();
  std::size_t arrived = 0;
  while (f.parked.size() != 0) {
    f.parked.give_to(mine);
    using kind = descriptor_channel::received::kind;
    for (auto got = theirs.receive(); got.what == kind::taken; got = theirs.receive())
      arrived += got.fd ? 1 : 0;
  }
  CHECK(arrived == 400);
}

TEST_CASE("a connection that was given away sends its signals to its new owner from then on") {
  fixture f;
  const int fd = f.add();
  auto [mine, theirs] = descriptor_channel::make();
  const unique_fd same(::dup(fd));
  parked_connections other;
  f.parked.give_to(mine);
  other.add(theirs.receive().fd);
  CHECK(f.parked.size() == 0);
  CHECK((::fcntl(same.get(), F_GETFL) & O_ASYNC) != 0);
  test::put(f.clients[0].get(), "hello");
  CHECK(test::wait_readable(same.get()));
  const auto told = f.signals.next();
  REQUIRE(told);
  other.stirred(told->fd);
  CHECK(other.take_awake());
}
