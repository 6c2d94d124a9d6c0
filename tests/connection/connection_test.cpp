#include "weir/connection/connection.hpp"

#include <netinet/tcp.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <string>

#include "loop.hpp"
#include "weir/base/error.hpp"
#include "weir/connection/connection_pair.hpp"
#include "weir/core/test_core.hpp"

using namespace weir;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

std::span<std::byte> bytes_of(std::string& s) { return std::as_writable_bytes(std::span(s)); }

task<> receive_all(connection* c, std::string* out) {
  while (auto data = co_await c->receive()) *out += data.text();
}

task<> send_all(connection* c, const std::string* text, bool* sent) {
  *sent = co_await c->send(*text);
  c->shutdown_send();
}

// Does what it is told when the other coroutine waits by now.
template <class Act>
task<> then(Act act) {
  co_await test::rounds();
  act();
}

}  // namespace

TEST_CASE("receive gives what has come, at most a chunk, and nothing at the end") {
  settings s;
  s.loop.chunk_size = 1024;
  test::loop l(s);
  test::half h(l);
  const auto sent = test::pattern(2500);
  test::put(h.there.get(), sent);
  h.there.reset();
  const auto body = [](connection* c, const std::string* expected) -> task<> {
    std::string got;
    while (auto data = co_await c->receive()) {
      CHECK(data.size() <= 1024);
      got += data.text();
    }
    CHECK(got == *expected);
    CHECK(c->end() == ending::peer_closed);
    const auto again = co_await c->receive();
    CHECK_FALSE(again);
  };
  l.run(body(&h.here, &sent));
}

TEST_CASE("a connection that waits holds no chunk", "[epoll]") {
  test::loop l(test::over_epoll);
  test::half h(l);
  std::string got;
  l.core().spawn(receive_all(&h.here, &got));
  l.run(test::rounds());
  const auto kept = l.core().chunks().kept();
  test::put(h.there.get(), "x");
  l.run(test::until([&] { return got == "x"; }));
  l.run(test::rounds());
  if (build::pools) CHECK(l.core().chunks().kept() >= std::max<std::size_t>(kept, 1));
}

TEST_CASE("read_some gives at least one byte, read_exactly all of them") {
  test::loop l;
  test::half h(l);
  const auto reader = [](connection* c) -> task<> {
    std::string into(16, '\0');
    const std::size_t n = co_await c->read_some(bytes_of(into));
    CHECK(n == 3);
    CHECK(into.substr(0, 3) == "abc");
    std::string four(4, '\0');
    const bool whole = co_await c->read_exactly(bytes_of(four));
    CHECK(whole);
    CHECK(four == "defg");
    const bool more = co_await c->read_exactly(bytes_of(four));
    CHECK_FALSE(more);
    const std::size_t none = co_await c->read_some(bytes_of(into));
    CHECK(none == 0);
    CHECK(c->end() == ending::peer_closed);
  };
  const auto peer = [](unique_fd fd) -> task<> {
    for (const auto* part : {"abc", "d", "ef", "g"}) {
      co_await test::rounds();
      test::put(fd.get(), part);
    }
    co_await test::rounds();
    fd.reset();
  };
  l.run(reader(&h.here), peer(std::move(h.there)));
}

TEST_CASE("reading no bytes is done at once") {
  test::loop l;
  test::half h(l);
  const auto body = [](connection* c, int peer) -> task<> {
    test::put(peer, "x");
    const auto head = co_await c->receive();  // drained: the next read would have to wait
    CHECK(head.text() == "x");
    const bool none = co_await c->read_exactly({});  // the empty body of a message
    CHECK(none);
    const std::size_t n = co_await c->read_some({});
    CHECK(n == 0);
    CHECK(c->end() == ending::none);
  };
  l.run(body(&h.here, h.there.get()));
}

TEST_CASE("an end inside read_exactly is an error that names the peer") {
  test::loop l;
  test::half h(l, test::tcp_pair());
  test::put(h.there.get(), "abc");
  h.there.reset();
  const auto body = [](connection* c) -> task<> {
    std::string four(4, '\0');
    static_cast<void>(co_await c->read_exactly(bytes_of(four)));
  };
  try {
    l.run(body(&h.here));
    FAIL("no error");
  } catch (const std::system_error& e) {
    CHECK(e.code() == errc::truncated);
    CHECK_THAT(e.what(), Contains(h.here.peer().to_string()));
  }
}

TEST_CASE("text, bytes, a chunk and a literal are sent") {
  test::loop l;
  test::half h(l);
  const auto body = [](connection* c, int peer) -> task<> {
    co_await c->send("literal ");
    co_await c->send(std::string_view("text "));
    const std::array<std::byte, 3> raw{std::byte{'r'}, std::byte{'a'}, std::byte{'w'}};
    co_await c->send(std::span<const std::byte>(raw));
    test::put(peer, " chunk");
    const auto data = co_await c->receive();
    const bool sent = co_await c->send(data);
    CHECK(sent);
    const bool nothing = co_await c->send("");
    CHECK(nothing);
  };
  l.run(body(&h.here, h.there.get()));
  CHECK(test::drained(h.there.get()) == "literal text raw chunk");
}

TEST_CASE("megabytes go through small buffers to a slow reader, whole") {
  test::loop l;
  test::whole w(l, test::tcp_pair(8192));
  const auto sent = test::pattern(5'000'000);
  std::string got;
  bool done = false;
  l.run(send_all(&w.a, &sent, &done), receive_all(&w.b, &got));
  CHECK(done);
  CHECK(got == sent);
}

TEST_CASE("both directions are full at once and neither stands still") {
  test::loop l;
  test::whole w(l, test::tcp_pair(8192));
  const auto one = test::pattern(1'000'000);
  const auto other = test::pattern(1'200'001);
  std::string at_a;
  std::string at_b;
  bool a_sent = false;
  bool b_sent = false;
  l.run(send_all(&w.a, &one, &a_sent), send_all(&w.b, &other, &b_sent), receive_all(&w.a, &at_a),
        receive_all(&w.b, &at_b));
  CHECK(a_sent);
  CHECK(b_sent);
  CHECK(at_a == other);
  CHECK(at_b == one);
}

TEST_CASE("after a half close the peer finds the end and can still answer") {
  test::loop l;
  test::half h(l);
  const auto body = [](connection* c, int peer) -> task<> {
    co_await c->send("question");
    c->shutdown_send();
    CHECK(test::drained(peer) == "question");
    char one;
    CHECK(::recv(peer, &one, 1, MSG_DONTWAIT) == 0);
    test::put(peer, "answer");
    const auto data = co_await c->receive();
    CHECK(data.text() == "answer");
  };
  l.run(body(&h.here, h.there.get()));
}

TEST_CASE("closing wakes the reader that waits, and its end is 'closed'") {
  test::loop l;
  test::half h(l);
  std::string got;
  l.run(receive_all(&h.here, &got), then([&] { h.here.close(); }));
  CHECK(got.empty());
  CHECK(h.here.end() == ending::closed);
  CHECK_FALSE(h.here.is_open());
  char one;
  CHECK(::recv(h.there.get(), &one, 1, 0) == 0);
}

TEST_CASE("closing wakes the sender that waits") {
  test::loop l;
  test::half h(l, test::tcp_pair(8192));
  const std::string much(10'000'000, 'x');
  bool sent = true;
  l.run(send_all(&h.here, &much, &sent), then([&] { h.here.close(); }));
  CHECK_FALSE(sent);
}

TEST_CASE("operations on a closed connection find the end at once") {
  test::loop l;
  test::half h(l);
  h.here.close();
  h.here.close();
  const auto body = [](connection* c) -> task<> {
    const auto data = co_await c->receive();
    CHECK_FALSE(data);
    const bool sent = co_await c->send("x");
    CHECK_FALSE(sent);
    std::string one(1, '\0');
    const std::size_t n = co_await c->read_some(bytes_of(one));
    CHECK(n == 0);
    const std::array<std::string_view, 1> pieces{"x"};
    const bool gathered = co_await c->send(pieces);
    CHECK_FALSE(gathered);
  };
  l.run(body(&h.here));
  h.here.shutdown_send();
  CHECK(h.here.local() == peer_address());
}

TEST_CASE("abort sends RST to the peer") {
  test::loop l;
  test::half h(l, test::tcp_pair());
  h.here.abort();
  CHECK_FALSE(h.here.is_open());
  char one;
  CHECK(test::wait_readable(h.there.get()));
  CHECK(::recv(h.there.get(), &one, 1, 0) == -1);
  CHECK(errno == ECONNRESET);
}

TEST_CASE("a reset that sending finds is the end that reading tells of") {
  test::loop l;
  test::half h(l, test::tcp_pair());
  const linger now{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(h.there.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  h.there.reset();
  const auto sends = [](connection* c) -> task<> {
    const bool sent = co_await c->send("to nobody");
    CHECK_FALSE(sent);
    const auto data = co_await c->receive();
    CHECK_FALSE(data);
    CHECK(c->end() == ending::peer_reset);
  };
  l.run(sends(&h.here));
}

TEST_CASE("a peer that resets ends reading and sending, as values") {
  test::loop l;
  test::half h(l, test::tcp_pair());
  const auto peer = [](unique_fd fd) -> task<> {
    co_await test::rounds();
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    fd.reset();
  };
  const auto reader = [](connection* c) -> task<> {
    const auto data = co_await c->receive();
    CHECK_FALSE(data);
    CHECK(c->end() == ending::peer_reset);
    const bool sent = co_await c->send("x");
    CHECK_FALSE(sent);
  };
  l.run(reader(&h.here), peer(std::move(h.there)));
}

TEST_CASE("the peer's and the own address are those of the socket") {
  test::loop l;
  test::whole w(l);
  CHECK(w.a.peer() == w.b.local());
  CHECK(w.b.peer() == w.a.local());
  CHECK_THAT(w.a.peer().to_string(), Catch::StartsWith("127.0.0.1:"));
  const test::half local(l, test::unix_pair());
  CHECK(local.here.peer().is_unix());
}

TEST_CASE("a second waiter in the same direction is told so, and the first is not disturbed") {
  test::loop l;
  test::half h(l, test::tcp_pair(8192));
  std::string got;
  std::error_code second_reader;
  l.core().spawn(receive_all(&h.here, &got));
  l.run(test::rounds());
  std::string other;
  l.run(test::error_of(receive_all(&h.here, &other), &second_reader));
  CHECK(second_reader == std::errc::operation_in_progress);

  const std::string much(10'000'000, 'x');
  bool first_sent = true;
  bool second_sent = true;
  std::error_code second_sender;
  l.core().spawn(send_all(&h.here, &much, &first_sent));
  l.run(test::rounds());
  l.run(test::error_of(send_all(&h.here, &much, &second_sent), &second_sender));
  CHECK(second_sender == std::errc::operation_in_progress);

  test::put(h.there.get(), "for the first");
  l.run(test::until([&] { return !got.empty(); }));
  CHECK(got == "for the first");
  h.here.close();
  l.run(test::rounds());
  CHECK_FALSE(first_sent);
}

TEST_CASE("an idle connection is cut when its time is up, and not before") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  ends.server.set_idle_timeout(40ms);
  std::string got;
  core->spawn(receive_all(&ends.server, &got));
  core.advance(39ms);
  CHECK(ends.server.end() == ending::none);
  core.advance(1ms);
  CHECK(ends.server.end() == ending::idle);
}

TEST_CASE("an idle connection costs a few wake-ups of the loop, not one per millisecond") {
  test::loop l;
  test::half h(l);
  h.here.set_idle_timeout(300ms);
  std::string got;
  std::uint64_t handlers = 0;
  l.core().spawn(receive_all(&h.here, &got));
  const auto end = std::chrono::steady_clock::now() + test::deadline;
  while (h.here.end() == ending::none && std::chrono::steady_clock::now() < end)
    handlers += l.core().context().run_one_until(end);
  CHECK(h.here.end() == ending::idle);
  CHECK(handlers < 60);
}

TEST_CASE("a connection that moves bytes now and then is not idle") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  ends.server.set_idle_timeout(200ms);
  const auto peer = [](connection* c) -> task<> {
    for (int i = 0; i < 8; ++i) {
      co_await sleep_for(199ms);
      co_await c->send("x");
    }
    c->shutdown_send();
  };
  std::string got;
  core->spawn(receive_all(&ends.server, &got));
  core->spawn(peer(&ends.client));
  core.advance(8 * 199ms);
  CHECK(ends.server.end() == ending::peer_closed);
  CHECK(got == "xxxxxxxx");
}

TEST_CASE("a peer that does not read is cut when the sender is idle for too long") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  ends.server.set_idle_timeout(50ms);
  const std::string much(10'000'000, 'x');
  bool sent = true;
  core->spawn(send_all(&ends.server, &much, &sent));
  core.advance(49ms);
  CHECK(ends.server.is_open());
  core.advance(1ms);
  CHECK_FALSE(sent);
  CHECK(ends.server.end() == ending::idle);
  CHECK_FALSE(ends.server.is_open());
}

TEST_CASE("a handler that waits for something else is not idle, and no timeout is none") {
  test_core core(test::over_io_of_run());
  connection_pair patient;
  connection_pair endless;
  patient.server.set_idle_timeout(20s);
  endless.server.set_idle_timeout(20s);
  endless.server.set_idle_timeout(0s);
  std::string got;
  core->spawn(receive_all(&endless.server, &got));
  core.advance(24h);
  CHECK(patient.server.end() == ending::none);
  CHECK(endless.server.end() == ending::none);
}

TEST_CASE("a close sees input that has come since the socket was last read to its end") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  std::string answer;
  const auto refuse_early = [](connection* client, connection* server, std::string* out) -> task<> {
    co_await client->send("request");
    const auto request = co_await server->receive();
    CHECK(request.text() == "request");
    co_await client->send("its body");  // and the loop has not looked since
    co_await server->send("refused");
    server->close();
    co_await receive_all(client, out);
  };
  core->spawn(refuse_early(&ends.client, &ends.server, &answer));
  core.settle();
  CHECK(answer == "refused");
  CHECK(ends.client.end() == ending::peer_closed);
}

TEST_CASE("a close with unread input lingers until the peer closes, or for five seconds") {
  for (const bool peer_closes : {true, false}) {
    test_core core(test::over_io_of_run());
    connection_pair ends;
    const auto ask = [](connection* c, std::string* answer) -> task<> {
      co_await c->send("question that nobody reads");
      co_await receive_all(c, answer);
      co_await c->send("more");
    };
    const auto refuse = [](connection c) -> task<> { co_await c.send("no"); };
    std::string answer;
    core->spawn(ask(&ends.client, &answer));
    core.settle();
    core->spawn(refuse(std::move(ends.server)));
    core.settle();
    auto& table = core->local<connection_table>();
    CHECK(answer == "no");
    CHECK(ends.client.end() == ending::peer_closed);
    core.advance(4999ms);
    CHECK(table.all().size() == 2);
    if (peer_closes)
      ends.client.close();
    else
      core.advance(1ms);
    core.settle();
    CHECK(table.all().size() == 1);
  }
}

TEST_CASE("a cancelled receive takes nothing, and the bytes are there for the next") {
  test::loop l;
  test::half h(l);
  std::string got;
  std::error_code error;
  {
    test::root r(l.core(), test::error_of(receive_all(&h.here, &got), &error));
    l.run(test::rounds());
    REQUIRE(r.is_suspended());
    test::put(h.there.get(), "kept");
    r.end_wait(ECANCELED);
    l.run(test::until([&] { return r.has_ended(); }));
  }
  CHECK(error == std::errc::operation_canceled);
  CHECK(got.empty());
  ::shutdown(h.there.get(), SHUT_WR);
  l.run(receive_all(&h.here, &got));
  CHECK(got == "kept");
}

TEST_CASE("cancelled reads and sends throw operation_canceled, and the connection stays usable") {
  test::loop l;
  test::half h(l, test::tcp_pair(8192));
  const auto exactly = [](connection* c) -> task<> {
    std::string four(4, '\0');
    static_cast<void>(co_await c->read_exactly(bytes_of(four)));
  };
  const std::string much(10'000'000, 'x');
  bool sent = false;
  std::error_code read_error;
  std::error_code send_error;
  test::root reading(l.core(), test::error_of(exactly(&h.here), &read_error));
  test::root sending(l.core(), test::error_of(send_all(&h.here, &much, &sent), &send_error));
  l.run(test::rounds());
  reading.end_wait(ECANCELED);
  sending.end_wait(ECANCELED);
  l.run(test::until([&] { return reading.has_ended() && sending.has_ended(); }));
  CHECK(read_error == std::errc::operation_canceled);
  CHECK(send_error == std::errc::operation_canceled);
  static_cast<void>(test::drained(h.there.get()));
  const auto again = [](connection* c) -> task<> {
    const bool ok = co_await c->send("still here");
    CHECK(ok);
  };
  std::string got;
  l.run(again(&h.here), test::until([&] {
          got += test::drained(h.there.get());
          return got.ends_with("still here");
        }));
}

TEST_CASE("a moved handle is the same connection, and the other side of the assignment closes") {
  test::loop l;
  test::half first(l);
  test::half second(l);
  const int fd = second.here.native_handle();
  first.here = std::move(second.here);
  second.here = connection();
  CHECK(first.here.native_handle() == fd);
  CHECK_FALSE(second.here.is_open());
  char one;
  CHECK(::recv(first.there.get(), &one, 1, 0) == 0);
  CHECK_FALSE(connection().is_open());
}
