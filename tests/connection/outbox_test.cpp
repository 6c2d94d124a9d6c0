#include "weir/connection/outbox.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "loop.hpp"
#include "weir/connection/connection_pair.hpp"
#include "weir/core/test_core.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

// One entry for each send at the other end of a message-preserving socket.
std::vector<std::string> packets(int fd) {
  std::vector<std::string> out;
  char part[65536];
  for (;;) {
    const auto n = ::recv(fd, part, sizeof part, MSG_DONTWAIT);
    if (n <= 0) return out;
    out.emplace_back(part, static_cast<std::size_t>(n));
  }
}

// Reads a little at each turn until so many bytes are there.
task<> read_slowly(int fd, std::size_t size, std::string* out) {
  std::vector<char> part(7001);
  while (out->size() < size) {
    const auto n = ::recv(fd, part.data(), part.size(), MSG_DONTWAIT);
    if (n > 0) out->append(part.data(), static_cast<std::size_t>(n));
    co_await yield();
  }
}

task<> find_end(connection* c, bool* ended) {
  for (;;) {
    const auto data = co_await c->receive();
    if (!data) break;
  }
  *ended = true;
}

}  // namespace

TEST_CASE("messages of one turn leave together, in their order") {
  test::loop l;
  test::half h(l, test::unix_pair(SOCK_SEQPACKET));
  outbox out(h.here, 1000);
  const auto body = [](outbox* o, int there) -> task<> {
    CHECK(o->post("one "));
    CHECK(o->post(""));
    CHECK(o->post("two "));
    CHECK(o->post("three"));
    CHECK(o->pending() == 13);
    CHECK(packets(there).empty());
    co_await test::rounds();
    CHECK(packets(there) == std::vector<std::string>{"one two three"});
    CHECK(o->pending() == 0);
    CHECK(o->post("four"));
    co_await test::rounds();
    CHECK(packets(there) == std::vector<std::string>{"four"});
  };
  l.run(body(&out, h.there.get()));
  CHECK_FALSE(out.evicted());
}

TEST_CASE("more messages than one system call takes arrive whole and in order") {
  test::loop l;
  test::half h(l);
  outbox out(h.here, 100'000);
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    const std::string text = std::to_string(i) + "\n";
    expected += text;
    REQUIRE(out.post(text));
  }
  std::string got;
  l.run(read_slowly(h.there.get(), expected.size(), &got));
  CHECK(got == expected);
}

TEST_CASE("order and bytes are right through partial sends") {
  test::loop l;
  test::half h(l, test::tcp_pair(4096));
  const std::string text = test::pattern(3'000'000);
  outbox out(h.here, text.size());
  // Messages of all sizes, some larger than the socket's buffer.
  std::size_t at = 0;
  for (std::size_t size = 1; at < text.size(); size = size * 3 % 200'003 + 1) {
    const auto part = std::string_view(text).substr(at, size);
    REQUIRE(out.post(part));
    at += part.size();
  }
  CHECK(out.pending() == text.size());
  std::string got;
  l.run(read_slowly(h.there.get(), text.size(), &got));
  CHECK((got == text));
  l.run(test::rounds());
  CHECK(out.pending() == 0);
}

TEST_CASE("a message is shared by those who send it, and let go when it has left") {
  test::loop l;
  test::half one(l);
  test::half other(l);
  outbox a(one.here, 100);
  outbox b(other.here, 100);
  const shared_message m = std::make_shared<const std::string>("news");
  CHECK(a.post(m));
  CHECK(b.post(m));
  CHECK(m.use_count() == 3);
  l.run(test::rounds());
  CHECK(m.use_count() == 1);
  CHECK(test::drained(one.there.get()) == "news");
  CHECK(test::drained(other.there.get()) == "news");
}

TEST_CASE("a client that never reads is cut at its limit, and the others are unharmed") {
  test::loop l;
  test::half deaf(l);
  test::half fine(l);
  constexpr std::size_t limit = 100'000;
  outbox to_deaf(deaf.here, limit);
  outbox to_fine(fine.here, limit);
  bool ended = false;
  const auto publish = [](outbox* a, outbox* b, int listener, std::string* heard, std::size_t* sent,
                          std::size_t* most) -> task<> {
    const auto m = std::make_shared<const std::string>(test::pattern(5000));
    // Far more than the kernel buffers for a socket.
    for (int i = 0; i < 2000; ++i) {
      a->post(m);
      *most = std::max(*most, a->pending());
      const bool posted = b->post(m);
      CHECK(posted);
      *sent += m->size();
      auto reading = read_slowly(listener, *sent, heard);
      co_await reading;
      if (a->evicted()) break;
    }
    // A few more after the cut.
    for (int i = 0; i < 3; ++i) {
      CHECK_FALSE(a->post(m));
      CHECK(b->post(m));
      *sent += m->size();
    }
    auto reading = read_slowly(listener, *sent, heard);
    co_await reading;
  };
  std::string heard;
  std::size_t sent = 0;
  std::size_t most = 0;
  l.run(publish(&to_deaf, &to_fine, fine.there.get(), &heard, &sent, &most), find_end(&deaf.here, &ended));
  CHECK(to_deaf.evicted());
  CHECK(to_deaf.pending() == 0);
  CHECK(most <= limit);
  CHECK(ended);
  CHECK_FALSE(deaf.here.is_open());
  CHECK_FALSE(to_fine.evicted());
  CHECK(fine.here.is_open());
  CHECK(heard.size() == sent);
}

TEST_CASE("one message above the limit cuts at once") {
  test::loop l;
  test::half h(l);
  outbox out(h.here, 10);
  CHECK(out.post("0123456789"));
  CHECK_FALSE(out.post("x"));
  CHECK(out.evicted());
  CHECK(l.core().driver().counted()[observe::figure::evicted].read() == 1);
  l.run(test::rounds());
  CHECK_FALSE(h.here.is_open());
}

TEST_CASE("posting to a client that is gone says so, and is no eviction") {
  test::loop l;
  test::half h(l);
  outbox out(h.here, 1000);
  h.there = {};
  CHECK(out.post("into the void"));
  l.run(test::rounds());
  CHECK_FALSE(out.post("and again"));
  CHECK_FALSE(out.evicted());
  CHECK(out.pending() == 0);
}

TEST_CASE("a connection that is closed while messages wait drops them") {
  test::loop l;
  test::half h(l, test::tcp_pair(4096));
  outbox out(h.here, 10'000'000);
  CHECK(out.post(test::pattern(9'000'000)));
  l.run(test::rounds());
  CHECK(out.pending() > 0);
  h.here.close();
  l.run(test::rounds());
  CHECK(out.pending() == 0);
  CHECK_FALSE(out.post("late"));
}

TEST_CASE("an outbox that dies with messages waiting is forgotten") {
  test::loop l;
  test::half h(l, test::tcp_pair(4096));
  SECTION("that wait for the client") {
    outbox out(h.here, 10'000'000);
    CHECK(out.post(test::pattern(9'000'000)));
    l.run(test::rounds());
    CHECK(out.pending() > 0);
  }
  SECTION("that wait for the end of the turn") {
    outbox out(h.here, 100);
    CHECK(out.post("never"));
  }
  l.run(test::rounds());
  const auto before = test::drained(h.there.get()).size();
  CHECK(before < 9'000'000);
  l.run(test::rounds());
}

TEST_CASE("messages wait for another coroutine's send, without spinning, and arrive behind it whole") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  const std::string much = test::pattern(1'000'000);
  const auto send = [](connection* c, std::string_view text, bool* done) -> task<> {
    *done = co_await c->send(text);
  };
  bool done = false;
  core->spawn(send(&ends.server, much, &done));
  core.settle();
  outbox out(ends.server, 1000);
  CHECK(out.post("behind"));
  core.settle();  // ends: nobody spins
  CHECK(out.pending() == 6);
  const int there = ends.client.native_handle();
  std::string got;
  for (int i = 0; i < 1000 && !done; ++i) {
    got += test::drained(there);
    core.settle();
  }
  CHECK(done);
  core.advance(5ms);
  got += test::drained(there);
  CHECK(got == much + "behind");
  CHECK(out.pending() == 0);
}

TEST_CASE("an outbox that waits for another coroutine's send notices that the connection is closed") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  const std::string much = test::pattern(1'000'000);
  const auto send = [](connection* c, std::string_view text) -> task<> { co_await c->send(text); };
  core->spawn(send(&ends.server, much));
  core.settle();
  outbox out(ends.server, 1000);
  CHECK(out.post("in vain"));
  core.settle();
  ends.server.close();
  core.advance(5ms);
  CHECK_FALSE(out.post("more"));
}

// tests/replay makes one without memory. Its queue allocates already when it is made: noexcept would end the
// process.
static_assert(!std::is_nothrow_constructible_v<outbox, connection&, std::size_t>);
