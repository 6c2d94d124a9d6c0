#include "weir/connection/connect.hpp"

#include <netinet/tcp.h>

#include <catch2/catch.hpp>

#include <array>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "loop.hpp"
#include "weir/base/error.hpp"
#include "weir/connection/detail/connect_to_first.hpp"
#include "weir/listen/detail/bound_socket.hpp"

using namespace weir;
using Catch::Matchers::Contains;

namespace {

task<> greet(endpoint to) {
  auto c = co_await connect(to);
  CHECK(c.is_open());
  const bool sent = co_await c.send("hello");
  CHECK(sent);
}

std::string received_by(const bound_socket& listener) {
  REQUIRE(test::wait_readable(listener.get()));
  const unique_fd server(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  return server && test::wait_readable(server.get()) ? test::drained(server.get()) : "nobody came";
}

endpoint nobody_listens() {
  const auto gone = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  return gone.local();
}

// A listener that answers no further client: its queue is full, and nobody accepts.
struct black_hole {
  black_hole() {
    for (auto& each : waiting) {
      each = unique_fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      const auto to = listener.local().to_sockaddr();
      REQUIRE((::connect(each.get(), to.get(), to.size) == 0 || errno == EINPROGRESS));
    }
  }
  static socket_settings with_short_queue() {
    socket_settings out;
    out.backlog = 1;
    return out;
  }
  bound_socket listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), with_short_queue());
  std::array<unique_fd, 6> waiting;
};

task<> connect_to(std::vector<endpoint> addresses, std::string* peer) {
  auto c = co_await connect_to_first(std::move(addresses));
  *peer = c.peer().to_string();
}

}  // namespace

TEST_CASE("a tcp server is connected to, without delay, and knows its address") {
  test::loop l;
  const auto listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  const auto body = [](endpoint to) -> task<> {
    auto c = co_await connect(to);
    CHECK(c.peer().to_string() == to.to_string());
    int nodelay = 0;
    socklen_t size = sizeof nodelay;
    ::getsockopt(c.native_handle(), IPPROTO_TCP, TCP_NODELAY, &nodelay, &size);
    CHECK(nodelay != 0);
    CHECK((::fcntl(c.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
    const bool sent = co_await c.send("over tcp");
    CHECK(sent);
  };
  l.run(body(listener.local()));
  CHECK(received_by(listener) == "over tcp");
}

TEST_CASE("unix servers are connected to, by file and by abstract name") {
  std::string directory = "/tmp/weir-connect-XXXXXX";
  REQUIRE(::mkdtemp(directory.data()) != nullptr);
  for (const auto& name :
       {"unix:" + directory + "/s", "unix:@weir-connect-test-" + std::to_string(::getpid())}) {
    test::loop l;
    const auto listener = bound_socket::bind(endpoint::parse(name), {});
    l.run(greet(listener.local()));
    CHECK(received_by(listener) == "hello");
  }
  std::filesystem::remove_all(directory);
}

TEST_CASE("a refused connection is an error that names the address") {
  test::loop l;
  const auto at = nobody_listens();
  try {
    l.run(greet(at));
    FAIL("no error");
  } catch (const std::system_error& e) {
    CHECK(e.code() == std::errc::connection_refused);
    CHECK_THAT(e.what(), Contains("connect " + at.to_string()));
  }
  CHECK_THROWS_WITH(l.run(greet(endpoint::parse("unix:/nonexistent/s"))),
                    Contains("connect unix:/nonexistent/s"));
  l.run(test::rounds());
  CHECK(l.table().all().empty());
}

TEST_CASE("an inherited descriptor is nothing to connect to") {
  test::loop l;
  CHECK_THROWS_AS(l.run(greet(endpoint::parse("fd:3"))), std::invalid_argument);
}

TEST_CASE("an attempt that is cancelled is given up") {
  test::loop l;
  // The queue of a listener that nobody accepts from fills, and then the kernel does not answer.
  socket_settings short_queue;
  short_queue.backlog = 1;
  const auto listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), short_queue);
  std::vector<std::unique_ptr<test::root>> attempts;
  std::vector<std::error_code> errors(6);
  std::vector<connection> made(6);
  const auto attempt = [](endpoint to, connection* out) -> task<> { *out = co_await connect(to); };
  for (std::size_t i = 0; i < 6; ++i)
    attempts.push_back(std::make_unique<test::root>(
        l.core(), test::error_of(attempt(listener.local(), &made[i]), &errors[i])));
  l.run(test::rounds());
  std::size_t waiting = 0;
  for (auto& a : attempts) {
    if (a->has_ended()) continue;
    ++waiting;
    a->end_wait(ECANCELED);
  }
  CHECK(waiting > 0);
  l.run(test::rounds());
  std::size_t cancelled = 0;
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(attempts[i]->has_ended());
    CHECK(made[i].is_open() == !errors[i]);
    if (errors[i] == std::errc::operation_canceled) ++cancelled;
  }
  CHECK(cancelled == waiting);
  CHECK(l.table().all().size() == 6 - cancelled);
}

TEST_CASE("of a server's addresses the next is tried when one refuses or does not answer") {
  test::loop l;
  const black_hole silent;
  const auto listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  for (const endpoint& first : {silent.listener.local(), nobody_listens()}) {
    std::string peer;
    l.run(connect_to({first, silent.listener.local(), listener.local()}, &peer));
    CHECK(peer == listener.local().to_string());
  }
  l.run(test::rounds());
  CHECK(l.table().all().empty());  // neither what was won, nor what was given up
}

TEST_CASE("when all addresses of a server refuse, the error names the last") {
  test::loop l;
  const auto first = nobody_listens();
  const auto last = nobody_listens();
  std::string peer;
  CHECK_THROWS_WITH(l.run(connect_to({first, last}, &peer)), Contains("connect " + last.to_string()));
}

TEST_CASE("an attempt that ends with any exception is one that has failed, and holds up none of the others") {
  test::loop l;
  const auto listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  const auto no_attempt = endpoint::parse("tls:127.0.0.1:1");  // std::invalid_argument
  std::string peer;
  l.run(connect_to({no_attempt, listener.local()}, &peer));
  CHECK(peer == listener.local().to_string());
  CHECK_THROWS_AS(l.run(connect_to({no_attempt}, &peer)), std::invalid_argument);
}

TEST_CASE("a server that does not answer at any address is given up when its client is cancelled") {
  test::loop l;
  const black_hole silent;
  std::string peer;
  std::error_code error;
  {
    test::root attempt(
        l.core(),
        test::error_of(connect_to({silent.listener.local(), silent.listener.local()}, &peer), &error));
    l.run(test::until([&] { return l.table().all().size() == 2; }));
    attempt.cancel();
    l.run(test::until([&] { return attempt.has_ended(); }));
  }
  CHECK(error == std::errc::operation_canceled);
  CHECK(l.table().all().empty());
}

TEST_CASE("connecting on a thread that runs no core is an error") {
  test::stray l;
  auto t = connect(endpoint::parse("127.0.0.1:1"));
  const auto frame = t.release_to(l);
  frame.resume();
  REQUIRE(frame.done());
  try {
    static_cast<void>(frame.promise().take());
    FAIL("no error");
  } catch (const std::system_error& e) {
    CHECK(e.code() == errc::not_on_a_core);
  }
  frame.destroy();
}
