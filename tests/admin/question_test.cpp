#include "weir/admin/detail/question.hpp"

#include <catch2/catch.hpp>

using namespace weir::admin;
using Catch::Matchers::Contains;

namespace {

int status_of(std::string_view head) {
  refused_question why{0};
  return parse_question(head, why) ? 200 : why.status;
}

}  // namespace

TEST_CASE("a request of an operator is read strictly") {
  CHECK(status_of("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n") == 200);
  CHECK(status_of("GET /metrics HTTP/1.0\r\n\r\n") == 200);
  CHECK(status_of("HEAD /x?y=z HTTP/1.1\r\nhost:a\r\nContent-Length: 0\r\n\r\n") == 200);
  for (const char* wrong : {"GET /metrics HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                            "GET  /a HTTP/1.1\r\nHost: a\r\n\r\n", "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
                            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a\r\n\r\n", "\r\n\r\n",
                            "GET /a HTTP/1.1\n\r\n\r\n", "GET /a HTTP/1.1\r\nHost: a\nb\r\n\r\n",
                            "GET /a HTTP/1.1\r\nHost : a\r\n\r\n", "GET /a HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
                            "GET /a HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
                            "GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
                            "GET /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                            "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a FTP/1.1\r\nHost: a\r\n\r\n"}) {
    INFO(wrong);
    CHECK(status_of(wrong) == 400);
  }
  CHECK(status_of("POST /a HTTP/1.1\r\nHost: a\r\n\r\n") == 405);
  CHECK(status_of("GET /a HTTP/2.0\r\nHost: a\r\n\r\n") == 505);
}

TEST_CASE("a request tells what it wants") {
  refused_question why{0};
  const auto q = parse_question(
      "GET /metrics?a=b HTTP/1.1\r\nHost: a\r\nAccept: application/openmetrics-text;version=1.0.0,*/*\r\n"
      "Authorization:  Bearer   secret \r\n\r\n",
      why);
  REQUIRE(q);
  CHECK(q->path == "/metrics");
  CHECK(q->wants_openmetrics);
  CHECK(q->token == "secret");
  CHECK(q->has_body);
  const auto head = parse_question("HEAD / HTTP/1.1\r\nHost: a\r\nAccept: text/plain\r\n\r\n", why);
  REQUIRE(head);
  CHECK_FALSE(head->has_body);
  CHECK_FALSE(head->wants_openmetrics);
  CHECK(head->token.empty());
}

TEST_CASE("a request tells for whom it is, and that it takes gzip") {
  refused_question why{0};
  const auto asks = [&](std::string_view headers) {
    return *parse_question("GET / HTTP/1.1\r\nHost: a:1\r\n" + std::string(headers) + "\r\n", why);
  };
  const std::string head = "GET / HTTP/1.1\r\nHost: a:1\r\nAccept-Encoding: br;q=1, GZIP\r\n\r\n";
  const auto q = parse_question(head, why);
  REQUIRE(q);
  CHECK(q->host == "a:1");
  CHECK(q->accepts_gzip);
  for (const char* refused :
       {"", "Accept-Encoding: br\r\n", "Accept-Encoding: gzip;q=0\r\n", "Accept-Encoding: gzip; q=0.0\r\n",
        "Accept-Encoding: xgzip\r\n", "Accept-Encoding: ,\r\n"})
    CHECK_FALSE(asks(refused).accepts_gzip);
  CHECK(asks("Accept-Encoding: gzip; q=0.5\r\n").accepts_gzip);
}

TEST_CASE("the name of another host is not an address of this one") {
  for (const char* own : {"127.0.0.1", "127.0.0.1:9000", "[::1]:9000", "localhost", "LOCALHOST:9000", ""})
    CHECK(names_an_address(own));
  for (const char* other :
       {"evil.example", "evil.example:9000", "127.0.0.1.evil.example", "localhost.evil.example", "a"})
    CHECK_FALSE(names_an_address(other));
}

TEST_CASE("the end of a head is behind its empty line") {
  CHECK_FALSE(end_of_head("GET / HTTP/1.1\r\nHost: a\r\n"));
  CHECK(end_of_head("a\r\n\r\nb") == 5);
}

TEST_CASE("a token is that one and no other") {
  CHECK(is_token("0123456789abcdef", "0123456789abcdef"));
  for (const char* wrong :
       {"", "0123456789abcde", "0123456789abcdeg", "0123456789abcdef0", "0123456789abcdef0123456789abcdef"})
    CHECK_FALSE(is_token(wrong, "0123456789abcdef"));
}

TEST_CASE("an answer says how long it is, and to HEAD that alone") {
  const answer a{.status = 200, .text = "text"};
  CHECK_THAT(written(a, true), Contains("HTTP/1.1 200 OK\r\n") && Contains("Content-Length: 4\r\n") &&
                                   Catch::Matchers::EndsWith("\r\n\r\ntext"));
  CHECK_THAT(written(a, false), Contains("Content-Length: 4\r\n") && Catch::Matchers::EndsWith("\r\n\r\n"));
  CHECK_THAT(written({.status = 405, .text = "x"}, true), Contains("\r\nAllow: GET, HEAD\r\n"));
  CHECK_THAT(written({.status = 401, .text = "x"}, true), Contains("\r\nWWW-Authenticate: Bearer\r\n"));
}
