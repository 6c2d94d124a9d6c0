#include "weir/connection/reader.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <string>
#include <vector>

#include "loop.hpp"
#include "weir/base/error.hpp"

using namespace weir;

namespace {

settings chunks_of(std::uint32_t size) {
  settings s;
  s.loop.chunk_size = size;
  return s;
}

// Sends the parts, and gives the reader time to wait for each.
task<> feed(int fd, std::vector<std::string> parts, bool end = true) {
  for (const auto& part : parts) {
    co_await test::rounds(4);
    std::string_view left = part;
    while (!left.empty()) {
      const auto n = ::send(fd, left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n > 0) left.remove_prefix(static_cast<std::size_t>(n));
      co_await yield();
    }
  }
  co_await test::rounds(4);
  if (end) ::shutdown(fd, SHUT_WR);
}

// All messages up to the end, "!truncated" if that came inside one.
task<> lines(connection* c, std::string delimiter, std::size_t limit, std::vector<std::string>* out) {
  reader in(*c, limit);
  for (;;) {
    try {
      const auto line = co_await in.until(delimiter);
      if (!line) co_return;
      out->emplace_back(*line);
    } catch (const std::system_error& e) {
      out->emplace_back(e.code() == errc::truncated           ? "!truncated"
                        : e.code() == errc::message_too_large ? "!too large"
                                                              : e.what());
      co_return;
    }
  }
}

std::vector<std::string> lines_of(const settings& s, std::vector<std::string> parts,
                                  const std::string& delimiter, std::size_t limit = reader::default_limit) {
  test::loop l(s);
  test::half h(l);
  std::vector<std::string> out;
  l.run(lines(&h.here, delimiter, limit, &out), feed(h.there.get(), std::move(parts)));
  return out;
}

using strings = std::vector<std::string>;

}  // namespace

TEST_CASE("messages are found whatever the place where the stream is split") {
  const std::string stream = "first\r\n\r\nsec\rond\n\r\n\r\n\r\n\r\nlast\r\n\r\n";
  for (std::size_t at = 0; at <= stream.size(); ++at) {
    CAPTURE(at);
    CHECK(lines_of({}, {stream.substr(0, at), stream.substr(at)}, "\r\n\r\n") ==
          strings{"first", "sec\rond\n", "", "last"});
  }
}

TEST_CASE("messages are found byte by byte, also across the ends of small chunks") {
  const std::string stream = "one\r\ntwo and more\r\n\r\nthree, which is the longest\r\n";
  strings bytes;
  for (const char c : stream) bytes.emplace_back(1, c);
  const strings expected{"one", "two and more", "", "three, which is the longest"};
  CHECK(lines_of({}, bytes, "\r\n") == expected);
  for (const std::uint32_t chunk : {1U, 2U, 3U, 5U, 8U, 16U}) {
    CAPTURE(chunk);
    CHECK(lines_of(chunks_of(chunk), bytes, "\r\n") == expected);
    CHECK(lines_of(chunks_of(chunk), {stream}, "\r\n") == expected);
  }
}

TEST_CASE("a delimiter that begins like itself is found") {
  CHECK(lines_of({}, {"x", "a", "a", "a", "b", "y", "aab"}, "aab") == strings{"xa", "y"});
}

TEST_CASE("a message longer than a chunk is whole") {
  const auto text = test::pattern(50'000);
  CHECK(lines_of(chunks_of(1024), {text + "\n" + text + "\n"}, "\n") == strings{text, text});
}

TEST_CASE("the end between messages is a value, inside one an error") {
  CHECK(lines_of({}, {}, "\n").empty());
  CHECK(lines_of({}, {"a\n"}, "\n") == strings{"a"});
  CHECK(lines_of({}, {"a\nb"}, "\n") == strings{"a", "!truncated"});
  CHECK(lines_of({}, {"a\r\n\r"}, "\r\n") == strings{"a", "!truncated"});
}

TEST_CASE("a message as long as the limit is read, one byte more is an error") {
  const std::string fits(100, 'x');
  for (const std::uint32_t chunk : {16U, 64U, 1000U}) {
    CAPTURE(chunk);
    CHECK(lines_of(chunks_of(chunk), {fits + "\r\n" + fits + "\r\n"}, "\r\n", 100) == strings{fits, fits});
    CHECK(lines_of(chunks_of(chunk), {fits + "x\r\n"}, "\r\n", 100) == strings{"!too large"});
    CHECK(lines_of(chunks_of(chunk), {fits + fits}, "\r\n", 100) == strings{"!too large"});
  }
}

TEST_CASE("a peer that never sends the delimiter is refused at the limit, without waiting for the end") {
  test::loop l(chunks_of(64));
  test::half h(l);
  strings out;
  l.run(lines(&h.here, "\n", 1000, &out), feed(h.there.get(), {std::string(5000, 'x')}, false));
  CHECK(out == strings{"!too large"});
}

TEST_CASE("exactly gives so many bytes at every split, and the end as until does") {
  const std::string stream = "aaabbbbcc";
  const auto body = [](connection* c, strings* out) -> task<> {
    reader in(*c);
    for (const std::size_t n : {3U, 0U, 4U, 2U, 1U}) {
      const auto part = co_await in.exactly(n);
      out->emplace_back(part ? *part : "end");
    }
  };
  for (std::size_t at = 0; at <= stream.size(); ++at) {
    CAPTURE(at);
    test::loop l;
    test::half h(l);
    strings out;
    l.run(body(&h.here, &out), feed(h.there.get(), {stream.substr(0, at), stream.substr(at)}));
    CHECK(out == strings{"aaa", "", "bbbb", "cc", "end"});
  }
}

TEST_CASE("exactly: an end inside is an error, and more than the limit is refused before it comes") {
  test::loop l;
  test::half h(l);
  const auto ask = [](connection* c, std::size_t n, std::size_t limit) -> task<> {
    reader in(*c, limit);
    static_cast<void>(co_await in.exactly(n));
  };
  std::error_code error;
  l.run(test::error_of(ask(&h.here, 101, 100), &error));
  CHECK(error == errc::message_too_large);
  l.run(test::error_of(ask(&h.here, 10, 100), &error), feed(h.there.get(), {"short"}));
  CHECK(error == errc::truncated);
}

TEST_CASE("exactly reads a message of many chunks") {
  test::loop l(chunks_of(512));
  test::half h(l);
  const auto text = test::pattern(60'000);
  const auto body = [](connection* c, const std::string* expected) -> task<> {
    reader in(*c);
    const auto first = co_await in.exactly(5);
    CHECK(first == expected->substr(0, 5));
    const auto rest = co_await in.exactly(expected->size() - 5);
    CHECK(rest == expected->substr(5));
  };
  l.run(body(&h.here, &text), feed(h.there.get(), {text}));
}

TEST_CASE("peek waits for so many bytes and consumes none; at the end it gives what there is") {
  test::loop l;
  test::half h(l);
  const auto body = [](connection* c) -> task<> {
    reader in(*c, 100);
    const auto two = co_await in.peek(2);
    CHECK(two == "ab");
    const auto more = co_await in.peek(in.buffered().size() + 1);
    CHECK(more == "abc");
    in.consume(2);
    CHECK(in.buffered() == "c");
    const auto rest = co_await in.peek(50);
    CHECK(rest == "cde");
    in.consume(3);
    const auto nothing = co_await in.peek(1);
    CHECK(nothing.empty());
    CHECK(in.buffered().empty());
    std::error_code error;
    try {
      static_cast<void>(co_await in.peek(101));
    } catch (const std::system_error& e) {
      error = e.code();
    }
    CHECK(error == errc::message_too_large);
  };
  l.run(body(&h.here), feed(h.there.get(), {"a", "b", "c", "de"}));
}

TEST_CASE("a header and a body of the length that it tells are read in one stream") {
  test::loop l(chunks_of(32));
  test::half h(l);
  const auto body = [](connection* c, int* messages) -> task<> {
    reader in(*c);
    for (;;) {
      const auto header = co_await in.until("\n");
      if (!header) co_return;
      const std::size_t size = std::stoul(std::string(*header));
      const auto content = co_await in.exactly(size);
      CHECK(content == std::string(size, 'x'));
      ++*messages;
    }
  };
  std::string stream;
  for (const std::size_t size : {0U, 1U, 30U, 31U, 32U, 33U, 500U, 7U})
    stream += std::to_string(size) + "\n" + std::string(size, 'x');
  int messages = 0;
  l.run(body(&h.here, &messages), feed(h.there.get(), {stream.substr(0, 40), stream.substr(40)}));
  CHECK(messages == 8);
}

TEST_CASE("pipelined messages come out one by one without another read") {
  test::loop l;
  test::half h(l);
  strings stream(1);
  for (int i = 0; i < 1000; ++i) stream[0] += "message " + std::to_string(i) + "\n";
  strings out;
  l.run(lines(&h.here, "\n", 100, &out), feed(h.there.get(), stream));
  REQUIRE(out.size() == 1000);
  CHECK(out.front() == "message 0");
  CHECK(out.back() == "message 999");
}

TEST_CASE("a reader that waits with nothing buffered holds no chunk", "[epoll]") {
  if (!build::pools) return;
  test::loop l(test::over_epoll);
  test::half h(l);
  strings out;
  l.core().spawn(lines(&h.here, "\n", 100, &out));
  l.run(feed(h.there.get(), {"a\n"}, false));
  l.run(test::until([&] { return out.size() == 1; }));
  l.run(test::rounds());
  CHECK(l.core().chunks().kept() == 1);
  l.run(feed(h.there.get(), {"half"}, false));
  l.run(test::rounds());
  CHECK(l.core().chunks().kept() == 0);
}

TEST_CASE("a cancelled wait keeps what has been read") {
  test::loop l;
  test::half h(l);
  reader in(h.here);
  const auto ask = [](reader* r, std::string* out) -> task<> {
    const auto line = co_await r->until("\n");
    *out = line ? std::string(*line) : "end";
  };
  std::string got;
  std::error_code error;
  test::put(h.there.get(), "first half, ");
  {
    test::root r(l.core(), test::error_of(ask(&in, &got), &error));
    l.run(test::rounds());
    REQUIRE(r.is_suspended());
    r.end_wait(ECANCELED);
    l.run(test::until([&] { return r.has_ended(); }));
  }
  CHECK(error == std::errc::operation_canceled);
  CHECK(in.buffered() == "first half, ");
  test::put(h.there.get(), "second half\n");
  l.run(ask(&in, &got));
  CHECK(got == "first half, second half");
}

TEST_CASE("a reader gives others their turn while messages never end") {
  settings s;
  s.loop.inline_budget = 4;
  s.loop.chunk_size = 16;
  test::loop l(s);
  test::half h(l);
  test::put(h.there.get(), [] {
    std::string all;
    for (int i = 0; i < 2000; ++i) all += "0123456\n";
    return all;
  }());
  ::shutdown(h.there.get(), SHUT_WR);
  strings out;
  const auto other = [](const strings* messages, std::size_t* longest) -> task<> {
    std::size_t before = messages->size();
    while (messages->size() < 2000) {
      co_await yield();
      *longest = std::max(*longest, messages->size() - before);
      before = messages->size();
    }
  };
  std::size_t longest = 0;
  l.run(lines(&h.here, "\n", 100, &out), other(&out, &longest));
  CHECK(out.size() == 2000);
  CHECK(longest <= 2 * 4 * 2);  // an event and a turn of the run queue, two messages in each chunk
}

TEST_CASE("a second reader of the same connection is told so") {
  test::loop l;
  test::half h(l);
  const auto ask = [](connection* c) -> task<> {
    reader in(*c);
    static_cast<void>(co_await in.until("\n"));
  };
  l.core().spawn(ask(&h.here));
  l.run(test::rounds());
  std::error_code error;
  l.run(test::error_of(ask(&h.here), &error));
  CHECK(error == std::errc::operation_in_progress);
}

TEST_CASE("a stop waits for the rest of a message that is consumed in parts") {
  test::loop l;
  const auto read = [](connection* c, bool inside, std::string* out) -> task<> {
    reader in(*c);
    const auto length = co_await in.until("\n");
    in.set_inside_message(inside);
    c->state().stop();
    const std::string_view body = co_await in.peek(1);
    *out = length ? std::string(body) : "no length";
  };
  const auto send_late = [](int fd) -> task<> {
    co_await test::rounds();
    test::put(fd, "body");
  };
  for (const bool inside : {true, false}) {
    test::half h(l);
    test::put(h.there.get(), "4\n");
    std::string got = "nothing";
    l.run(read(&h.here, inside, &got), send_late(h.there.get()));
    CHECK(got == (inside ? "body" : ""));
    CHECK(h.here.end() == (inside ? ending::none : ending::stopping));
  }
}
