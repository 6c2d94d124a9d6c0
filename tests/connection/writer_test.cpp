#include "weir/connection/writer.hpp"

#include <netinet/tcp.h>
#include <catch2/catch.hpp>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "loop.hpp"
#include "weir/connection/reader.hpp"

using namespace weir;

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

task<> flush(writer* out, bool* sent) { *sent = co_await out->flush(); }

task<> receive_all(connection* c, std::string* out) {
  while (auto data = co_await c->receive()) *out += data.text();
}

// Answers each line with itself, twice.
task<> answer_lines(connection* c) {
  writer out(*c);
  reader in(*c, out);
  while (const auto line = co_await in.until("\n")) {
    out.write(*line);
    out.write("+");
    out.write(*line);
    out.write("\n");
  }
}

}  // namespace

TEST_CASE("replies are gathered and leave with one send") {
  test::loop l;
  test::half h(l, test::unix_pair(SOCK_SEQPACKET));
  writer out(h.here);
  CHECK(out.pending() == 0);
  out.write("one ");
  out.write("");
  char* const room = out.extend(4);
  std::memcpy(room, "two ", 4);
  out.write("three");
  CHECK(out.pending() == 13);
  CHECK(packets(h.there.get()).empty());
  bool sent = false;
  l.run(flush(&out, &sent));
  CHECK(sent);
  CHECK(out.pending() == 0);
  CHECK(packets(h.there.get()) == std::vector<std::string>{"one two three"});
}

TEST_CASE("flushing nothing sends nothing") {
  test::loop l;
  test::half h(l, test::unix_pair(SOCK_SEQPACKET));
  writer out(h.here);
  bool sent = false;
  l.run(flush(&out, &sent));
  CHECK(sent);
  CHECK(packets(h.there.get()).empty());
}

TEST_CASE("replies outgrow a chunk, whole and in order") {
  settings s;
  s.loop.chunk_size = 64;
  test::loop l(s);
  test::half h(l);
  const auto text = test::pattern(20'000);
  writer out(h.here);
  std::string expected;
  for (std::size_t size : {1U, 62U, 1U, 1U, 63U, 200U, 5000U, 64U, 3U}) {
    out.write(std::string_view(text).substr(0, size));
    expected += text.substr(0, size);
    const auto more = text.substr(size, 65);
    std::memcpy(out.extend(more.size()), more.data(), more.size());
    expected += more;
    REQUIRE(out.pending() == expected.size());
  }
  bool sent = false;
  l.run(flush(&out, &sent));
  CHECK(test::drained(h.there.get()) == expected);
}

TEST_CASE("an empty writer holds no chunk") {
  if (!build::pools) return;
  test::loop l;
  test::half h(l);
  writer out(h.here);
  out.write("x");
  CHECK(l.core().chunks().kept() == 0);
  bool sent = false;
  l.run(flush(&out, &sent));
  CHECK(l.core().chunks().kept() == 1);
}

TEST_CASE("big replies wait for a slow reader and arrive whole") {
  test::loop l;
  test::whole w(l, test::tcp_pair(8192));
  const auto text = test::pattern(3'000'000);
  writer out(w.a);
  out.write(text);
  const auto send = [](connection* c, writer* o, bool* sent) -> task<> {
    *sent = co_await o->flush();
    c->shutdown_send();
  };
  bool sent = false;
  std::string got;
  l.run(send(&w.a, &out, &sent), receive_all(&w.b, &got));
  CHECK(sent);
  CHECK(out.pending() == 0);
  CHECK(got == text);
}

TEST_CASE("a peer that is gone ends a flush as a value, and what is left is dropped") {
  test::loop l;
  test::half h(l, test::unix_pair());
  h.there.reset();
  writer out(h.here);
  out.write("to nobody");
  bool sent = true;
  l.run(flush(&out, &sent));
  CHECK_FALSE(sent);
  CHECK(out.pending() == 0);
}

TEST_CASE("a cancelled flush keeps what is not sent yet") {
  test::loop l;
  test::half h(l, test::tcp_pair(8192));
  const auto text = test::pattern(1'000'000);
  writer out(h.here);
  out.write(text);
  bool sent = false;
  std::error_code error;
  {
    test::root r(l.core(), test::error_of(flush(&out, &sent), &error));
    l.run(test::rounds());
    REQUIRE(r.is_suspended());
    r.end_wait(ECANCELED);
    l.run(test::until([&] { return r.has_ended(); }));
  }
  CHECK(error == std::errc::operation_canceled);
  CHECK(out.pending() > 0);
  std::string got = test::drained(h.there.get());
  const auto drain = [](int fd, const writer* o, std::string* into) -> task<> {
    while (o->pending() != 0) {
      *into += test::drained(fd);
      co_await yield();
    }
  };
  l.run(flush(&out, &sent), drain(h.there.get(), &out, &got));
  CHECK(sent);
  l.run(test::until([&] {
    got += test::drained(h.there.get());
    return got.size() >= text.size();
  }));
  CHECK(got == text);
}

TEST_CASE("a reader flushes its writer once for all the requests of a batch") {
  test::loop l;
  test::half h(l, test::unix_pair(SOCK_SEQPACKET));
  l.core().spawn(answer_lines(&h.here));
  test::put(h.there.get(), "a\nb\nc\nd");  // the fourth is incomplete
  l.run(test::rounds());
  CHECK(packets(h.there.get()) == std::vector<std::string>{"a+a\nb+b\nc+c\n"});
  test::put(h.there.get(), "\n");
  l.run(test::rounds());
  CHECK(packets(h.there.get()) == std::vector<std::string>{"d+d\n"});
}

TEST_CASE("answers leave when all requests of one batch of events have been run") {
  test::loop l;
  test::half first(l, test::unix_pair(SOCK_SEQPACKET));
  test::half second(l, test::unix_pair(SOCK_SEQPACKET));
  std::vector<std::string> sent_too_early;
  const auto answer = [&sent_too_early](connection* c, int other) -> task<> {
    writer out(*c);
    reader in(*c, out);
    while (const auto line = co_await in.until("\n")) {
      for (const auto& each : packets(other)) sent_too_early.push_back(each);
      out.write(*line);
    }
  };
  l.core().spawn(answer(&first.here, second.there.get()));
  l.core().spawn(answer(&second.here, first.there.get()));
  l.run(test::rounds());  // both wait
  test::put(first.there.get(), "a\n");
  test::put(second.there.get(), "b\n");
  l.run(test::rounds());
  CHECK(sent_too_early.empty());
  CHECK(packets(first.there.get()) == std::vector<std::string>{"a"});
  CHECK(packets(second.there.get()) == std::vector<std::string>{"b"});
}

TEST_CASE("a reader flushes before the end as well") {
  test::loop l;
  test::half h(l);
  test::put(h.there.get(), "a\nb\n");
  ::shutdown(h.there.get(), SHUT_WR);
  l.run(answer_lines(&h.here));
  CHECK(test::drained(h.there.get()) == "a+a\nb+b\n");
}

TEST_CASE("requests and replies that fill both buffers do not stand still") {
  test::loop l;
  test::whole w(l, test::tcp_pair(8192));
  std::string requests;
  std::string expected;
  for (int i = 0; i < 30'000; ++i) {
    const auto line = "request " + std::to_string(i);
    requests += line + "\n";
    expected += line + "+" + line + "\n";
  }
  const auto ask = [](connection* c, const std::string* all) -> task<> {
    const bool sent = co_await c->send(*all);
    CHECK(sent);
    c->shutdown_send();
  };
  const auto serve = [](connection* c) -> task<> {
    co_await answer_lines(c);
    c->shutdown_send();
  };
  std::string got;
  l.run(serve(&w.a), ask(&w.b, &requests), receive_all(&w.b, &got));
  CHECK(got == expected);
}

TEST_CASE("what is flushed ahead leaves in one packet with what follows") {
  test::loop l;
  // tcpi_data_segs_out of the kernel's tcp_info; that of glibc ends before it.
  const auto segments = [](int fd) {
    std::array<std::uint32_t, 40> info{};
    socklen_t size = sizeof info;
    REQUIRE(::getsockopt(fd, IPPROTO_TCP, TCP_INFO, info.data(), &size) == 0);
    REQUIRE(size == sizeof info);
    return info[39];
  };
  const auto answer = [](connection* c, bool ahead) -> task<> {
    writer out(*c);
    out.write("head");
    if (ahead)
      co_await out.flush_ahead();
    else
      co_await out.flush();
    co_await c->send("body");
  };
  for (const bool ahead : {true, false}) {
    test::half h(l, test::tcp_pair());
    const int on = 1;
    REQUIRE(::setsockopt(h.here.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    l.run(answer(&h.here, ahead));
    CHECK(segments(h.here.native_handle()) == (ahead ? 1 : 2));
    REQUIRE(test::wait_readable(h.there.get()));
    CHECK(test::drained(h.there.get()).starts_with("head"));
  }
}
