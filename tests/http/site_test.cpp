#include "weir/http/site.hpp"

#include <catch2/catch.hpp>
#include <memory>

#include "http/talk.hpp"
#include "http/vectors.hpp"
#include "weir/http/status.hpp"

using namespace test;
using weir::http::site;

TEST_CASE("a request is answered, and the next one on the same connection") {
  const sample_site s;
  talk t(s);
  CHECK(t.say(get) == plain_answer);
  CHECK(t.say("GET /made HTTP/1.1\r\nHost: a\r\n\r\n") == plain_answer);
  CHECK(t.all().find("\r\nDate: ") != std::string::npos);
  CHECK_FALSE(t.ended());
  t.finish();
  CHECK(t.ended());
}

TEST_CASE("requests that come together are answered in their order, and in one piece") {
  const sample_site s;
  talk t(s);
  std::string many;
  for (int i = 0; i < 100; ++i)
    many += "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n" + std::to_string(100 + i);
  const std::string answers = t.say(many);
  std::size_t at = 0;
  for (int i = 0; i < 100; ++i) {
    at = answers.find("\r\n\r\n" + std::to_string(100 + i), at);
    REQUIRE(at != std::string::npos);
  }
  CHECK(statuses(answers) == std::vector<int>(100, 200));
}

TEST_CASE("bytes that come one by one are answered the same") {
  const sample_site s;
  talk t(s);
  CHECK(t.say_slowly(get) == plain_answer);
  CHECK(t.say_slowly("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                     "chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n"
                     "T: x\r\n\r\n")
            .ends_with("\r\n\r\nabcde"));
  CHECK(t.say_slowly("\r\n" + get) == plain_answer);
}

TEST_CASE("HTTP/1.0 is kept alive when it asks for it") {
  const sample_site s;
  talk once(s);
  CHECK(once.say("GET /plain HTTP/1.0\r\n\r\n") ==
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
  CHECK(once.ended());
  talk kept(s);
  const std::string asks = "GET /made HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  CHECK(kept.say(asks) ==
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: keep-alive\r\nContent-Length: "
        "5\r\n\r\nhello");
  CHECK(statuses(kept.say(asks)) == std::vector<int>{200});
}

TEST_CASE("HEAD gets the head of what GET gets") {
  const sample_site s;
  talk t(s);
  const std::string head = plain_answer.substr(0, plain_answer.size() - 5);
  CHECK(t.say("HEAD /plain HTTP/1.1\r\nHost: a\r\n\r\n") == head);
  CHECK(t.say("HEAD /made HTTP/1.1\r\nHost: a\r\n\r\n") == head);
}

TEST_CASE("a path without a handler is 404, another method 405") {
  const sample_site s;
  talk t(s);
  CHECK(statuses(t.say("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")) == std::vector<int>{404});
  const std::string refused = t.say("PUT /plain HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(statuses(refused) == std::vector<int>{405});
  CHECK(refused.find("\r\nAllow: GET, HEAD\r\n") != std::string::npos);
  CHECK(t.say(get) == plain_answer);
}

TEST_CASE("OPTIONS tells the methods of a path, and of the server that it is there") {
  const sample_site s;
  talk t(s);
  const std::string methods = t.say("OPTIONS /plain HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(statuses(methods) == std::vector<int>{204});
  CHECK(methods.find("\r\nAllow: GET, HEAD\r\n") != std::string::npos);
  CHECK(statuses(t.say("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")) == std::vector<int>{204});
  CHECK(statuses(t.say("OPTIONS /nothing HTTP/1.1\r\nHost: a\r\n\r\n")) == std::vector<int>{404});
  CHECK(statuses(t.say("GET * HTTP/1.1\r\nHost: a\r\n\r\n")) == std::vector<int>{404});
  CHECK(t.say(get) == plain_answer);
}

TEST_CASE("an ambiguous request is refused, and nothing after it is answered") {
  const sample_site s;
  std::vector<test::vector> all = smuggling_heads();
  for (const test::vector& v : smuggling_chunks()) all.push_back(v);
  for (const test::vector& v : all) {
    INFO(v.name);
    talk t(s);
    const std::string answer = t.say(v.bytes + get);
    CHECK(statuses(answer) == std::vector<int>{v.status});
    CHECK(answer.find("\r\nConnection: close\r\n") != std::string::npos);
    CHECK(t.ended());
  }
}

TEST_CASE("a client that waits for 100 Continue gets it when the body is wanted") {
  const sample_site s;
  talk t(s);
  CHECK(t.say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n") ==
        "HTTP/1.1 100 Continue\r\n\r\n");
  CHECK(t.say("abcde").ends_with("\r\n\r\nabcde"));
  CHECK(t.say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nabcde")
            .ends_with("Length: 5\r\n\r\nabcde"));
}

TEST_CASE("a client that waits for 100 Continue in vain is told that the connection ends") {
  const sample_site s;
  talk t(s);
  const std::string answer =
      t.say("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  CHECK(statuses(answer) == std::vector<int>{200});
  CHECK(answer.find("\r\nConnection: close\r\n") != std::string::npos);
  CHECK(t.ended());
}

TEST_CASE("a small body that the handler leaves is skipped") {
  const sample_site s;
  talk t(s);
  CHECK(statuses(t.say("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde" + get)) ==
        std::vector<int>{200, 200});
  CHECK(statuses(t.say(
            "POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n" +
            get)) == std::vector<int>{200, 200});
  CHECK(statuses(t.say("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabcde")) ==
        std::vector<int>{200});
  CHECK(t.say(std::string(995, 'x') + get) == plain_answer);
}

TEST_CASE("an answer stands although the rest of the body is malformed") {
  site s;
  s.routes.post("/started", [](exchange x) { x.start(200, "text/plain", 0); });
  talk t(s);
  t.say("POST /started HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdefgh" + get);
  CHECK(statuses(t.all()) == std::vector<int>{200});
  CHECK(t.ended());
  CHECK(t.how() == weir::ending::peer_closed);  // and not reset
}

TEST_CASE("a body beyond the limit is refused with its head, and what still comes is read") {
  const sample_site s;
  talk t(s);
  const std::string answer =
      t.say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000000000000000\r\n\r\n" +
            std::string(100000, 'x'));
  CHECK(statuses(answer) == std::vector<int>{413});
  CHECK(t.ended());
  t.say(std::string(100000, 'x'));
  CHECK(t.how() == weir::ending::peer_closed);  // and not reset
}

TEST_CASE("a chunked body is counted as it comes") {
  sample_site s;
  s.limits.body = 10;
  talk t(s);
  CHECK(statuses(t.say("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
                       "chunked\r\n\r\n6\r\nabcdef\r\n6\r\nabcdef\r\n")) == std::vector<int>{413});
}

TEST_CASE("a head that does not become whole is cut, however often a byte comes") {
  const sample_site s;
  talk t(s);
  std::string heard;
  int seconds = 0;
  while (!t.ended() && seconds < 100) {
    heard += t.say(seconds == 0 ? "GET / HTTP/1.1\r\nX: " : "x");
    heard += t.wait(1s);
    ++seconds;
  }
  CHECK(statuses(heard) == std::vector<int>{408});
  CHECK(seconds >= 9);
  CHECK(seconds <= 11);
}

TEST_CASE("a body that does not come is cut") {
  const sample_site s;
  talk t(s);
  t.say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
  CHECK(t.wait(s.limits.body_timeout - 1s).empty());
  CHECK(statuses(t.wait(2s)) == std::vector<int>{408});
}

TEST_CASE("a body that comes byte by byte is cut once the grace is over, framed or not") {
  const sample_site s;
  for (const char* framed : {"Content-Length: 1000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n500;"}) {
    talk t(s);
    std::string heard = t.say("POST /echo HTTP/1.1\r\nHost: a\r\n" + std::string(framed));
    int seconds = 0;
    while (!t.ended() && seconds < 100) {
      heard += t.say("x");
      heard += t.wait(1s);
      ++seconds;
    }
    CHECK(statuses(heard) == std::vector<int>{408});
    CHECK(seconds >= 29);
    CHECK(seconds <= 31);
  }
}

TEST_CASE("a slow upload and one that pauses get through") {
  const sample_site s;
  talk slow(s);
  std::string heard = slow.say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  for (std::size_t sent = 0; sent < 1000000; sent += 6000) {
    heard += slow.say(std::string(std::min<std::size_t>(6000, 1000000 - sent), 'x'));
    heard += slow.wait(1s);
  }
  CHECK(statuses(heard) == std::vector<int>{200});
  talk pauses(s);
  heard = pauses.say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  for (int i = 0; i < 10; ++i) {
    heard += pauses.say(std::string(10000, 'x'));
    heard += pauses.wait(12s);
  }
  CHECK(statuses(heard) == std::vector<int>{200});
}

TEST_CASE("what bounds the time of a body can be set") {
  sample_site s;
  s.limits.body_timeout = 5s;
  s.limits.body_rate = 0;
  talk t(s);
  t.say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
  for (int i = 0; i < 99; ++i) {  // at any rate
    CHECK(t.say("x").empty());
    CHECK(t.wait(4s).empty());
  }
  CHECK(statuses(t.wait(2s)) == std::vector<int>{408});
}

TEST_CASE("between requests only the idle timeout applies") {
  const sample_site s;
  talk t(s);
  CHECK(t.wait(100s).empty());
  CHECK(t.say(get) == plain_answer);
}

TEST_CASE("a client may disconnect inside a request") {
  const sample_site s;
  for (const char* part : {"GET / HT", "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc",
                           "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"}) {
    talk t(s);
    CHECK(t.say(part).empty());
    CHECK(t.finish().empty());
    CHECK(t.ended());
  }
}

TEST_CASE("requests before the end of the client's sending are answered") {
  const sample_site s;
  talk t(s);
  const std::string answers = t.say(get + get);
  t.finish();
  CHECK(answers == plain_answer + plain_answer);
  CHECK(t.ended());
}

TEST_CASE("connections and requests are counted") {
  sample_site s;
  weir::http::tally count;
  s.tally_of_here = [&]() -> weir::http::tally& { return count; };
  talk t(s);
  t.say(get + get);
  CHECK(count.connections == 1);
  CHECK(count.requests == 2);
  t.finish();
  CHECK(count.connections == 0);
}

TEST_CASE("a handler keeps the site that it serves, and a connection keeps it beyond the handler") {
  const auto used = std::make_shared<int>(1);
  auto s = std::make_unique<site>();
  s->routes.get("/used", [used](exchange x) { x.send(200, "text/plain", std::to_string(*used)); });
  auto handler = s->handler();
  s.reset();
  REQUIRE(used.use_count() == 2);

  talk t(handler);
  handler = nullptr;
  CHECK(used.use_count() == 2);
  CHECK(t.say("GET /used HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("\r\n\r\n1"));
  t.finish();
  CHECK(used.use_count() == 1);
}

namespace {

// Takes note of all that has finished.
struct noting_site : sample_site {
  noting_site() {
    on_finished = [this](const weir::http::finished& f) {
      notes.push_back(fmt::format("{} {} {} {}ms",
                                  std::string(f.request.method()) + std::string(f.request.path()), f.status,
                                  f.bytes, f.duration < 1s ? 0 : 1));
    };
  }
  std::vector<std::string> notes;
};

weir::task<> signed_by(exchange x, weir::http::next rest) {
  x.add_header("X-Signed", "yes");
  co_await rest(x);
}

weir::task<> only_with_a_key(exchange x, weir::http::next rest) {
  if (!x.request().find("x-key")) {
    x.refuse(401);
    co_return;
  }
  try {
    co_await rest(x);
  } catch (const std::runtime_error&) {
    x.send(503, "", "caught");
  }
}

}  // namespace

TEST_CASE("middleware is around every request, the first one outermost") {
  sample_site s;
  s.routes.get("/throws", [](exchange) { throw std::runtime_error("x"); });
  s.use(signed_by);
  s.use(only_with_a_key);
  talk t(s);
  const std::string refused = t.say(get);
  CHECK(statuses(refused) == std::vector<int>{401});
  CHECK(refused.find("\r\nX-Signed: yes\r\n") != std::string::npos);
  const auto with_key = [](const std::string& path) {
    return "GET " + path + " HTTP/1.1\r\nHost: a\r\nX-Key: 1\r\n\r\n";
  };
  CHECK(t.say(with_key("/plain")) ==
        "HTTP/1.1 200 OK\r\nX-Signed: yes\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
  CHECK(statuses(t.say(with_key("/made"))) == std::vector<int>{200});
  CHECK(statuses(t.say(with_key("/nothing"))) == std::vector<int>{404});
  CHECK(t.say(with_key("/throws")).ends_with("\r\n\r\ncaught"));
  CHECK(t.say("POST /echo HTTP/1.1\r\nHost: a\r\nX-Key: 1\r\nContent-Length: 3\r\n\r\nabc")
            .ends_with("\r\n\r\nabc"));
  const std::string once = t.say(with_key("/plain"));
  CHECK(t.say(with_key("/plain") + with_key("/plain")) == once + once);
}

TEST_CASE("all that has finished is told, also what the library refused") {
  noting_site s;
  s.routes.get("/throws", [](exchange) { throw std::runtime_error("x"); });
  s.routes.get("/large", [](exchange x) -> weir::task<> {
    x.start(200, "");
    co_await x.write(std::string(1000, 'x'));
    co_await x.write("yy");
  });
  s.routes.get("/broken", [](exchange x) -> weir::task<> {
    x.start(200, "", 10);
    co_await x.write("half");
  });
  weir::http::site& kept = s;
  {
    talk t(kept);
    t.say(get + "HEAD /plain HTTP/1.1\r\nHost: a\r\n\r\n");
    t.say("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n");
    t.say("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    t.say("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000000\r\n\r\n");
  }
  {
    talk t(kept);
    t.say(get + "nonsense\r\n\r\n");
  }
  for (const char* path : {"/throws", "/broken"}) {
    talk t(kept);
    t.say("GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  {
    talk t(kept);
    t.say("GET /slow");
    t.wait(20s);
  }
  CHECK(s.notes == std::vector<std::string>{"GET/plain 200 5 0ms", "HEAD/plain 200 0 0ms",
                                            "GET/nothing 404 10 0ms", "GET/large 200 1002 0ms",
                                            "POST/echo 413 18 0ms", "GET/plain 200 5 0ms", "/ 400 12 0ms",
                                            "GET/throws 500 22 0ms", "GET/broken 200 4 0ms", "/ 408 16 0ms"});
}

TEST_CASE("the answers that the library gives by itself can be replaced") {
  sample_site s;
  s.routes.get("/throws", [](exchange) { throw std::runtime_error("a secret"); });
  s.routes.get("/409", [](exchange) { throw weir::http::error(409, "not now"); });
  s.refusal = [](exchange x, int status, std::string_view text) {
    if (status == 501) return;
    if (status == 505) throw std::runtime_error("of the refusal");
    x.send(status, "application/json", fmt::format("{{\"error\":\"{}\"}}", text));
  };
  const auto asked = [&](const std::string& bytes) {
    talk t(s);
    return t.say(bytes);
  };
  CHECK(asked("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("\r\n\r\n{\"error\":\"Not Found\"}"));
  const std::string method = asked("PUT /plain HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(method.find("\r\nAllow: GET, HEAD\r\n") != std::string::npos);
  CHECK(method.ends_with("{\"error\":\"Method Not Allowed\"}"));
  CHECK(asked("GET /throws HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("{\"error\":\"Internal Server Error\"}"));
  CHECK(asked("GET /409 HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("{\"error\":\"not now\"}"));
  CHECK(asked("GET  / HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("{\"error\":\"Bad Request\"}"));
  CHECK(asked("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000000\r\n\r\n")
            .ends_with("{\"error\":\"Content Too Large\"}"));
  // One that does not answer, and one that throws.
  CHECK(asked("BREW / HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("\r\n\r\nNot Implemented\n"));
  CHECK(asked("GET / HTTP/1.7\r\nHost: a\r\n\r\n").ends_with("\r\n\r\nHTTP Version Not Supported\n"));
}
