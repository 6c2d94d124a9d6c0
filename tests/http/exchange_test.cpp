#include "weir/http/exchange.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include <cstdio>
#include <stdexcept>

#include "http/talk.hpp"
#include "weir/core/sleep.hpp"
#include "weir/http/status.hpp"

using namespace test;
using weir::http::error;
using weir::http::header;

namespace {

std::string asking(const std::string& path, const std::string& version = "1.1") {
  return "GET " + path + " HTTP/" + version + "\r\nHost: a\r\n\r\n";
}

weir::task<> stream(exchange x) {
  x.start(200, "text/plain");
  co_await x.write("one,");
  co_await x.flush();
  co_await weir::sleep_for(1s);
  co_await x.write("");
  co_await x.write("two");
}

// What it sends is what it receives, piece by piece.
weir::task<> copy(exchange x) {
  x.start(200, "text/plain");
  for (;;) {
    const std::string_view piece = co_await x.read();
    if (piece.empty()) break;
    co_await x.write(piece);
    co_await x.flush();
  }
}

}  // namespace

TEST_CASE("a stream goes out in chunks") {
  weir::http::site s;
  s.routes.get("/stream", stream);
  talk t(s);
  CHECK(t.say(asking("/stream")) ==
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none,\r\n");
  CHECK(t.wait(1s) == "3\r\ntwo\r\n0\r\n\r\n");
  CHECK_FALSE(t.ended());
}

TEST_CASE("a stream to HTTP/1.0 ends with its connection") {
  weir::http::site s;
  s.routes.get("/stream", stream);
  talk t(s);
  t.say(asking("/stream", "1.0"));
  t.wait(1s);
  CHECK(t.all().ends_with("\r\n\r\none,two"));
  CHECK(t.all().find("chunked") == std::string::npos);
  CHECK(t.ended());
}

TEST_CASE("a stream to HEAD is its head") {
  weir::http::site s;
  s.routes.get("/stream", stream);
  talk t(s);
  std::string head = t.say("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  head += t.wait(1s);
  CHECK(head == "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
}

TEST_CASE("a body is read and answered at the same time") {
  weir::http::site s;
  s.routes.post("/copy", copy);
  talk t(s);
  t.say("POST /copy HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
  CHECK(t.all().ends_with("3\r\nabc\r\n"));
  CHECK(t.say("def") == "3\r\ndef\r\n0\r\n\r\n");
}

TEST_CASE("the request stays while its body is read") {
  weir::http::site s;
  s.routes.any("/*", [](exchange x) -> weir::task<> {
    const std::string_view path = x.request().path();
    const std::string_view tag = x.request().find("x-tag").value_or("");
    const std::string_view body = co_await x.body();
    const header last = x.request()[x.request().size() - 1];
    x.send(200, "", fmt::format("{} {} {} {}={}", path, tag, body.size(), last.name, last.value));
  });
  talk t(s);
  t.say("POST /some/path HTTP/1.1\r\nHost: a\r\nX-Tag: value\r\nContent-Length: 100000\r\nX-Empty:\r\n\r\n");
  t.say(std::string(100000, 'x'));
  CHECK(t.all().ends_with("/some/path value 100000 X-Empty="));
}

TEST_CASE("an error that a handler throws is the answer") {
  weir::http::site s;
  s.routes.get("/409", [](exchange) { throw error(409, "not now"); });
  s.routes.get("/500", [](exchange) -> weir::task<> {
    co_await weir::yield();
    throw std::runtime_error("a secret");
  });
  talk t(s);
  const std::string known = t.say(asking("/409"));
  CHECK(statuses(known) == std::vector<int>{409});
  CHECK(known.ends_with("\r\n\r\nnot now\n"));
  CHECK_FALSE(t.ended());  // the connection is none the worse
  talk other(s);
  const std::string unknown = other.say(asking("/500"));
  CHECK(statuses(unknown) == std::vector<int>{500});
  CHECK(unknown.find("secret") == std::string::npos);
  CHECK(other.ended());
}

TEST_CASE("an answer that breaks off is reset") {
  weir::http::site s;
  s.routes.get("/throws", [](exchange x) -> weir::task<> {
    x.start(200, "text/plain");
    co_await x.write("half");
    co_await x.flush();
    throw std::runtime_error("broken");
  });
  s.routes.get("/short", [](exchange x) -> weir::task<> {
    x.start(200, "text/plain", 12);
    co_await x.write("half");
    co_await x.flush();
  });
  for (const char* path : {"/throws", "/short"}) {
    talk t(s);
    CHECK(t.say(asking(path)).ends_with("half" + std::string(path == std::string("/throws") ? "\r\n" : "")));
    CHECK(t.ended());
    CHECK(t.all().find("0\r\n\r\n") == std::string::npos);
  }
}

TEST_CASE("a handler that does not answer, or answers twice, is a 500 or cut") {
  weir::http::site s;
  s.routes.get("/none", [](exchange) {});
  s.routes.get("/twice", [](exchange x) {
    x.send(200, "", "one");
    x.send(200, "", "two");
  });
  talk none(s);
  CHECK(statuses(none.say(asking("/none"))) == std::vector<int>{500});
  talk twice(s);
  CHECK(statuses(twice.say(asking("/twice"))).empty());
  CHECK(twice.ended());
}

TEST_CASE("a header that would break the message is not sent") {
  weir::http::site s;
  s.routes.get("/*", [](exchange x) {
    const header more[]{{"X", "a\r\nSet-Cookie: b"}};
    x.send(200, "", "", more);
  });
  talk t(s);
  const std::string answer = t.say(asking("/"));
  CHECK(statuses(answer) == std::vector<int>{500});
  CHECK(answer.find("Set-Cookie") == std::string::npos);
}

TEST_CASE("a handler may want less than the limit") {
  weir::http::site s;
  s.routes.post("/small", [](exchange x) -> weir::task<> {
    const std::string_view body = co_await x.body(3);
    x.send(200, "", body);
  });
  talk t(s);
  CHECK(statuses(t.say("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")) ==
        std::vector<int>{200});
  CHECK(statuses(t.say("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd")) ==
        std::vector<int>{413});
  talk chunked(s);
  CHECK(statuses(chunked.say(
            "POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n")) ==
        std::vector<int>{413});
}

TEST_CASE("an answer that shall be the last says so") {
  weir::http::site s;
  s.routes.get("/", [](exchange x) {
    x.close_afterwards();
    x.send(200, "", "bye");
  });
  talk t(s);
  CHECK(t.say(asking("/") + asking("/")) ==
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbye");
  CHECK(t.ended());
}

TEST_CASE("a file goes out, copied or sent") {
  std::FILE* const file = std::tmpfile();
  REQUIRE(file != nullptr);
  const std::string bytes(100000, 'f');
  REQUIRE(std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size());
  REQUIRE(std::fflush(file) == 0);
  const int fd = ::fileno(file);
  weir::http::site s;
  s.routes.get("/large", [fd](exchange x) {
    return [](exchange y, int f) -> weir::task<> {
      y.start(200, "", 100000);
      co_await y.write_file(f, 0, 100000);
    }(x, fd);
  });
  s.routes.get("/small", [fd](exchange x) {
    return [](exchange y, int f) -> weir::task<> {
      y.start(200, "", 5);
      co_await y.write_file(f, 10, 5);
    }(x, fd);
  });
  s.routes.get("/beyond", [fd](exchange x) {
    return [](exchange y, int f) -> weir::task<> {
      y.start(200, "", 100001);
      co_await y.write_file(f, 0, 100001);
    }(x, fd);
  });
  talk t(s);
  CHECK(t.say(asking("/small")).ends_with("Content-Length: 5\r\n\r\nfffff"));
  CHECK(t.say(asking("/large")).ends_with("\r\n\r\n" + bytes));
  t.say(asking("/beyond"));
  CHECK(t.ended());
  std::fclose(file);
}
