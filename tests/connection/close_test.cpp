// The ends of a connection: what is delivered, what is reset, and what comes twice.
#include "weir/connection/connection.hpp"

#include <catch2/catch.hpp>

#include <sys/mman.h>

#include <string>

#include "loop.hpp"
#include "weir/connection/connection_pair.hpp"
#include "weir/connection/outbox.hpp"
#include "weir/connection/writer.hpp"
#include "weir/core/test_core.hpp"
#include "weir/core/within.hpp"
#include "weir/task/scope.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

// What a peer finds: the bytes, and whether the end was orderly.
struct found {
  std::string bytes;
  bool orderly = false;
};

found read_to_end(int fd) {
  found out;
  char part[65536];
  while (test::wait_readable(fd)) {
    const auto n = ::recv(fd, part, sizeof part, MSG_DONTWAIT);
    if (n > 0) {
      out.bytes.append(part, static_cast<std::size_t>(n));
      continue;
    }
    if (n < 0 && errno == EAGAIN) continue;
    out.orderly = n == 0;
    break;
  }
  return out;
}

const std::string& much() {
  static const std::string text = test::pattern(8 << 20);
  return text;
}

// A server's connection whose peer is a plain socket that reads nothing until it is told to.
struct served {
  explicit served(task<> (*handler)(connection), std::chrono::milliseconds idle = 0ms)
      : peer(loop, test::tcp_pair(65536)) {
    auto& state = peer.here.state();
    if (idle.count() != 0) peer.here.set_idle_timeout(idle);
    state.serve(handler(std::move(peer.here)), permits.try_acquire());
  }
  permit_pool permits{1};
  test::loop loop;
  test::half peer;
};

task<> send_much(connection c) {
  const bool sent = co_await c.send(much());
  CHECK_FALSE(sent);
}

}  // namespace

TEST_CASE("a close that is followed by the end of the handle still lingers") {
  test::loop l;
  test::half h(l, test::tcp_pair());
  test::put(h.there.get(), "a question that nobody reads");
  REQUIRE(test::wait_readable(h.here.native_handle()));
  const auto answer = [](connection c) -> task<> {
    const bool sent = co_await c.send("the last answer");
    CHECK(sent);
    c.close();
    CHECK_FALSE(c.is_open());
    CHECK(c.native_handle() == -1);
    c.close();
  };
  l.run(answer(std::move(h.here)));
  test::put(h.there.get(), "and more that nobody reads");
  l.run(test::rounds());
  CHECK(l.table().all().size() == 1);
  const found got = read_to_end(h.there.get());
  CHECK(got.bytes == "the last answer");
  CHECK(got.orderly);
  h.there.reset();
  l.run(test::until([&] { return l.table().all().empty(); }));
}

// Over io_uring the socket is empty then: what the handler has not asked for has been read ahead of it.
TEST_CASE("a close lingers with input that the handler has not asked for, wherever it is") {
  test::loop l;
  test::half h(l, test::tcp_pair());
  test::put(h.there.get(), "one");
  const auto answer = [](connection c, int peer) -> task<> {
    const auto first = co_await c.receive();
    CHECK(first.text() == "one");
    test::put(peer, "two");
    co_await test::rounds();
    const bool sent = co_await c.send("refused");
    CHECK(sent);
  };
  l.run(answer(std::move(h.here), h.there.get()));
  CHECK(l.table().all().size() == 1);
  test::put(h.there.get(), "three");
  l.run(test::rounds());
  const found got = read_to_end(h.there.get());
  CHECK(got.bytes == "refused");
  CHECK(got.orderly);
  h.there.reset();
  l.run(test::until([&] { return l.table().all().empty(); }));
}

TEST_CASE("a socket goes on lingering while its handler does something else") {
  test::loop l;
  test::half h(l, test::tcp_pair());
  bool may_end = false;
  const auto handler = [](connection c, const bool* end) -> task<> {
    c.close();
    while (!*end) co_await yield();
  };
  const std::string flood(1 << 20, 'x');
  test::make_non_blocking(h.there.get());
  static_cast<void>(::send(h.there.get(), flood.data(), flood.size(), MSG_NOSIGNAL));
  REQUIRE(test::wait_readable(h.here.native_handle()));
  permit_pool permits(1);
  auto& state = h.here.state();
  state.serve(handler(std::move(h.here), &may_end), permits.try_acquire());
  l.run(test::rounds(64));
  h.there.reset();
  l.run(test::until([&] { return state.now_in() == phase::ended; }));
  may_end = true;
  l.run(test::until([&] { return l.table().all().empty(); }));
  CHECK(permits.in_use() == 0);
}

TEST_CASE("a second reader is told so while the first one waits for its turn in the run queue") {
  settings s;
  s.loop.inline_budget = 1;
  test::loop l(s);
  test::half h(l);
  test::put(h.there.get(), "one");
  int refused = 0;
  const auto read = [](connection* c, int* out) -> task<> {
    try {
      const auto data = co_await c->receive();
    } catch (const std::system_error& e) {
      CHECK(e.code() == std::errc::operation_in_progress);
      ++*out;
    }
  };
  l.core().spawn(read(&h.here, &refused));
  l.core().spawn(read(&h.here, &refused));
  l.run(test::rounds());
  CHECK(refused == 1);
}

TEST_CASE("an answer that the idle timeout breaks off ends with a reset") {
  served s(send_much, 50ms);
  s.loop.run(test::until([&] { return s.permits.in_use() == 0; }));
  const found got = read_to_end(s.peer.there.get());
  CHECK(got.bytes.size() < much().size());
  CHECK_FALSE(got.orderly);
}

TEST_CASE("an answer that a cut breaks off ends with a reset, also between two of its parts") {
  const auto between = [](connection c) -> task<> {
    const bool sent = co_await c.send("the first half");
    CHECK(sent);
    co_await sleep_for(1h);
  };
  const auto cut = [](task<> (*handler)(connection)) {
    served s(handler);
    s.loop.run(test::rounds());
    const auto order = [](connection_table* t) -> task<> {
      t->cut();
      co_return;
    };
    s.loop.run(order(&s.loop.table()));
    s.loop.run(test::until([&] { return s.permits.in_use() == 0; }));
    return read_to_end(s.peer.there.get());
  };
  CHECK_FALSE(cut(send_much).orderly);
  const found half = cut(between);
  CHECK(half.bytes == "the first half");
  CHECK_FALSE(half.orderly);
  const found idle = cut([](connection c) -> task<> {
    const bool sent = co_await c.send("a whole answer");
    CHECK(sent);
    const auto next = co_await c.receive();
    CHECK_FALSE(next);
  });
  CHECK(idle.bytes == "a whole answer");
  CHECK(idle.orderly);
}

TEST_CASE("an answer that the end of its core breaks off ends with a reset") {
  served s(send_much);
  s.loop.run(test::rounds());
  s.loop.destroy();
  const found got = read_to_end(s.peer.there.get());
  CHECK(got.bytes.size() < much().size());
  CHECK_FALSE(got.orderly);
}

TEST_CASE("a send that was given up is owed: the connection ends with a reset") {
  served s([](connection c) -> task<> {
    auto send = [](connection* to) -> task<> { static_cast<void>(co_await to->send(much())); };
    task<> sending = send(&c);
    try {
      co_await within(1ms, std::move(sending));
    } catch (const std::system_error&) {
    }
  });
  s.loop.run(test::until([&] { return s.permits.in_use() == 0; }));
  CHECK_FALSE(read_to_end(s.peer.there.get()).orderly);
}

TEST_CASE("a writer that dies with replies in it leaves a reset, and one that was flushed an orderly end") {
  for (const bool flushed : {false, true}) {
    served s(flushed ? [](connection c) -> task<> {
      writer out(c);
      out.write("reply");
      const bool sent = co_await out.flush();
      CHECK(sent);
    }
                     : [](connection c) -> task<> {
                         writer out(c);
                         out.write("reply");
                         co_return;
                       });
    s.loop.run(test::until([&] { return s.permits.in_use() == 0; }));
    CHECK(read_to_end(s.peer.there.get()).orderly == flushed);
  }
}

TEST_CASE("a send that is as fast as its peer gives others their turns") {
  for (const int way : {0, 1, 2, 3}) {
    CAPTURE(way);
    test::loop l;
    test::half h(l);
    const int room = 16 << 20;
    ::setsockopt(h.here.native_handle(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    const std::string text = test::pattern(6 << 20);
    int turns = 0;
    bool sent = false;
    const auto send = [](connection* c, const std::string* all, int how, bool* out) -> task<> {
      if (how == 0) *out = co_await c->send(*all);
      if (how == 1) {
        const std::string_view pieces[] = {std::string_view(*all).substr(0, 1 << 20),
                                           std::string_view(*all).substr(1 << 20)};
        const std::span<const std::string_view> list(pieces);
        *out = co_await c->send(list);
      }
      if (how == 2) {
        writer w(*c);
        w.write(*all);
        *out = co_await w.flush();
      }
      if (how == 3) {
        const unique_fd file(::memfd_create("much", MFD_CLOEXEC));
        REQUIRE(::write(file.get(), all->data(), all->size()) == static_cast<ssize_t>(all->size()));
        *out = co_await c->send_file(file.get(), 0, all->size());
      }
    };
    const auto count = [](const bool* done, int* out) -> task<> {
      for (; !*done; ++*out) co_await yield();
    };
    std::jthread reader([fd = h.there.get(), left = text.size()]() mutable {
      char part[65536];
      while (left > 0 && test::wait_readable(fd)) {
        const auto n = ::recv(fd, part, sizeof part, MSG_DONTWAIT);
        if (n > 0) left -= static_cast<std::size_t>(n);
      }
    });
    l.run(send(&h.here, &text, way, &sent), count(&sent, &turns));
    CHECK(sent);
    CHECK(turns >= 10);  // 6 MiB in parts of half a MiB
  }
}

TEST_CASE("an outbox that finds a broken connection tells the reader so") {
  test::loop l;
  test::half h(l, test::tcp_pair());
  const linger at_once{1, 0};
  ::setsockopt(h.there.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  h.there.reset();
  REQUIRE(test::wait_readable(h.here.native_handle()));
  const auto publish = [](connection* c) -> task<> {
    outbox out(*c, 1000);
    out.post("to a peer that has gone");
    co_await test::rounds();
    const auto data = co_await c->receive();
    CHECK_FALSE(data);
    CHECK(c->end() == ending::peer_reset);
  };
  l.run(publish(&h.here));
}

TEST_CASE("a scope that is destroyed without a join leaves no children behind in its parent") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  const auto child = []() -> task<> { co_await sleep_for(1h); };
  const auto parent = [](task<> (*make)(), bool* tied) -> task<> {
    {
      scope s;
      s.spawn(make());
      co_await yield();
    }
    *tied = !run_queue::here().running()->has_no_children();
  };
  bool tied = true;
  core->spawn(parent(child, &tied));
  core.settle();
  CHECK_FALSE(tied);
}
