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

TEST_CASE("an answer has any status from 200 to 999, with its reason where one is known") {
  weir::http::site s;
  s.routes.get("/{status}", [](exchange x) { x.send(std::stoi(x.parameter("status")), "", "x"); });
  talk t(s);
  CHECK(t.say(asking("/200")).starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(t.say(asking("/207")).starts_with("HTTP/1.1 207 Multi-Status\r\n"));
  CHECK(t.say(asking("/299")).starts_with("HTTP/1.1 299 \r\n"));
  CHECK(t.say(asking("/599")).ends_with("HTTP/1.1 599 \r\nContent-Length: 1\r\n\r\nx"));
  CHECK(t.say(asking("/999")).starts_with("HTTP/1.1 999 \r\n"));
  for (const char* bad : {"/99", "/1000", "/0", "/101"}) {
    talk other(s);
    CHECK(statuses(other.say(asking(bad))) == std::vector<int>{500});
  }
}

TEST_CASE("a status below 200 is sent ahead of the answer, to clients that know of it") {
  weir::http::site s;
  s.routes.get("/", [](exchange x) {
    const header link[]{{"Link", "</style.css>"}};
    x.send(103, "", "ignored", link);
    x.send(200, "", "x");
  });
  talk t(s);
  CHECK(
      t.say(asking("/")) ==
      "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
  CHECK(statuses(t.say(asking("/", "1.0"))) == std::vector<int>{200});
}

TEST_CASE("an error with a status that is none is a 500") {
  weir::http::site s;
  s.routes.get("/", [](exchange) { throw error(7); });
  talk t(s);
  CHECK(statuses(t.say(asking("/"))) == std::vector<int>{500});
}

TEST_CASE("a parameter is decoded, and a malformed one refused") {
  weir::http::site s;
  s.routes.get("/users/{id}", [](exchange x) { x.send(200, "", x.parameter("id")); });
  s.routes.get("/wrong/{id}", [](exchange x) { x.send(200, "", x.parameter("name")); });
  talk t(s);
  CHECK(t.say(asking("/users/a%2Fb%20c?d")).ends_with("\r\n\r\na/b c"));
  CHECK(statuses(t.say(asking("/users/%zz"))) == std::vector<int>{400});
  CHECK(statuses(t.say(asking("/wrong/1"))) == std::vector<int>{500});
}

TEST_CASE("a header that is added belongs to the answer, whichever it is, and to no other one") {
  static const weir::http::fixed_response fixed(200, "text/plain", "fixed");
  weir::http::site s;
  s.routes.get("/fixed", [](exchange x) {
    x.add_header("X-A", "1");
    x.send(fixed);
  });
  s.routes.get("/refused", [](exchange x) {
    x.add_header("X-A", "1");
    throw error(409);
  });
  s.routes.get("/none", [](exchange x) { x.send(fixed); });
  s.routes.get("/late", [](exchange x) {
    x.send(200, "", "x");
    x.add_header("X-A", "1");
  });
  s.routes.get("/bad", [](exchange x) { x.add_header("X-A", "1\r\nX-B: 2"); });
  talk t(s);
  CHECK(t.say(asking("/fixed")).find("\r\nX-A: 1\r\n") != std::string::npos);
  CHECK(t.say(asking("/refused")).find("\r\nX-A: 1\r\n") != std::string::npos);
  CHECK(t.say(asking("/none")).find("X-A") == std::string::npos);
  CHECK(statuses(t.say(asking("/bad"))) == std::vector<int>{500});
  CHECK(t.all().find("X-B") == std::string::npos);
  talk other(s);
  CHECK(statuses(other.say(asking("/late"))).empty());
}

namespace {

const std::string upgrading =
    "GET /up HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: other/2, echo\r\n\r\n";

weir::task<> echo_after_upgrade(exchange x) {
  weir::http::upgraded up = co_await x.upgrade("echo");
  const std::string first = "path " + std::string(x.request().path()) + " got " + up.received;
  co_await up.client.send(first);
  while (auto data = co_await up.client.receive()) co_await up.client.send(data);
}

}  // namespace

TEST_CASE("an upgrade gives the connection, and what has come behind the request") {
  weir::http::site s;
  s.routes.get("/up", echo_after_upgrade);
  talk t(s);
  CHECK(t.say(upgrading + "early") ==
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\npath /up got early");
  CHECK(t.say("later") == "later");
  CHECK(t.wait(50s).empty());
  CHECK(t.say(get) == get);  // no longer HTTP
  CHECK(t.finish().empty());
  CHECK(t.ended());
  CHECK(t.how() == weir::ending::peer_closed);
}

TEST_CASE("a client that did not ask for the protocol is told of it") {
  weir::http::site s;
  s.routes.any("/up", echo_after_upgrade);
  for (const char* head :
       {"", "Connection: Upgrade\r\n", "Upgrade: echo\r\n", "Connection: Upgrade\r\nUpgrade: other\r\n"}) {
    talk t(s);
    const std::string answer = t.say("GET /up HTTP/1.1\r\nHost: a\r\n" + std::string(head) + "\r\n");
    CHECK(statuses(answer) == std::vector<int>{426});
    CHECK(answer.find("\r\nUpgrade: echo\r\n") != std::string::npos);
    CHECK_FALSE(t.ended());
  }
  talk t(s);
  CHECK(statuses(t.say("POST /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: "
                       "echo\r\nContent-Length: 5\r\n\r\n")) == std::vector<int>{400});
}

TEST_CASE("an exception after an upgrade ends that connection alone") {
  weir::http::site s;
  s.routes.get("/up", [](exchange x) -> weir::task<> {
    const weir::http::upgraded up = co_await x.upgrade("echo");
    throw std::runtime_error("after the upgrade");
  });
  talk t(s);
  CHECK(statuses(t.say(upgrading)) == std::vector<int>{101});
  CHECK(t.ended());
}
