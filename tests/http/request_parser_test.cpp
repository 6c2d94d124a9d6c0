#include "weir/http/detail/request_parser.hpp"

#include <fmt/format.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <random>

#include "http/vectors.hpp"

using namespace weir::http;
using state = request_parser::state;

namespace {

const limits ordinary;

// Everything that parsing gives, as text, so that it can be compared. `bytes`: what was parsed and what
// follows.
std::string outcome(const request_parser& parser, state s, const request& r, const std::string& bytes) {
  if (s == state::incomplete) return "incomplete";
  if (s == state::failed) return fmt::format("{}", parser.status());
  const framing& f = r.framing();
  std::string out =
      fmt::format("{}|{}|{}|{}|1.{}|{}|{}{}", r.method(), r.target(), r.path(), r.query(), r.minor(),
                  f.keep_alive ? "keep" : "close", f.chunked ? "chunked" : fmt::format("{}", f.length),
                  f.expects_continue ? "|continue" : "");
  for (std::size_t i = 0; i < r.size(); ++i) out += fmt::format("|{}={}", r[i].name, r[i].value);
  return out + fmt::format("|and {} bytes", bytes.size() - parser.size());
}

// `bytes` as they come, in the sizes of `parts`, in memory that moves each time.
std::string parse_in_parts(const std::string& bytes, const std::vector<std::size_t>& parts) {
  request_parser parser;
  request r;
  std::size_t have = 0;
  for (const std::size_t size : parts) {
    have += size;
    const std::vector<char> here(bytes.begin(), bytes.begin() + static_cast<long>(have));
    const state s = parser.parse({here.data(), here.size()}, ordinary, r);
    if (s != state::incomplete) return outcome(parser, s, r, bytes);
  }
  return "incomplete";
}

std::string parse(const std::string& bytes) { return parse_in_parts(bytes, {bytes.size()}); }

std::vector<std::string> good() {
  return {
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "\r\nGET /a/b?c=d&e HTTP/1.1\r\nhost: example.org:80\r\nAccept: */*\r\nEmpty:\r\nTail: x \t "
      "\r\n\r\nrest",
      "GET http://example.org/a?b HTTP/1.1\r\nHost: example.org\r\nConnection: Keep-Alive, close\r\n\r\n",
      "POST /echo HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nabcde",
      "POST /echo HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n",
      "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
      "GET / HTTP/1.0\r\n\r\n",
      "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
      "DELETE /x HTTP/1.1\r\nHost: a\r\nX-Tab:\ta\tb\r\nX-High: \xc3\xa4\r\n\r\n",
      "GET /x HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
  };
}

}  // namespace

TEST_CASE("a request is read into its parts") {
  const auto all = good();
  CHECK(parse(all[0]) == "GET|/|/||1.1|keep|0|Host=a|and 0 bytes");
  CHECK(parse(all[1]) ==
        "GET|/a/b?c=d&e|/a/b|c=d&e|1.1|keep|0|host=example.org:80|Accept=*/*|Empty=|Tail=x|and 4 bytes");
  CHECK(parse(all[2]) ==
        "GET|http://example.org/a?b|/a|b|1.1|close|0|Host=example.org|Connection=Keep-Alive, close|and 0 "
        "bytes");
  CHECK(
      parse(all[3]) ==
      "POST|/echo|/echo||1.1|keep|5|continue|Host=[::1]:80|Content-Length=5|Expect=100-continue|and 5 bytes");
  CHECK(parse(all[4]) == "POST|/echo|/echo||1.1|keep|chunked|Host=a|transfer-encoding=Chunked|and 5 bytes");
  CHECK(parse(all[5]) == "OPTIONS|*|*||1.1|keep|0|Host=|and 0 bytes");
  CHECK(parse(all[6]) == "GET|/|/||1.0|close|0|and 0 bytes");
  CHECK(parse(all[7]) == "GET|/|/||1.0|keep|0|Connection=keep-alive|and 0 bytes");
  CHECK(parse(all[8]) == "DELETE|/x|/x||1.1|keep|0|Host=a|X-Tab=a\tb|X-High=\xc3\xa4|and 0 bytes");
  CHECK(parse(all[9]) == "GET|/x|/x||1.1|keep|0|Host=a|Upgrade=h2c|Connection=upgrade|and 0 bytes");
}

TEST_CASE("an ambiguous head is refused") {
  for (const test::vector& v : test::smuggling_heads()) {
    INFO(v.name);
    CHECK(parse(v.bytes) == fmt::format("{}", v.status));
  }
}

TEST_CASE("the outcome does not depend on how the bytes come") {
  std::vector<std::string> all = good();
  for (const test::vector& v : test::smuggling_heads()) all.push_back(v.bytes);
  std::mt19937 draw(1);
  for (const std::string& bytes : all) {
    INFO(bytes);
    const std::string whole = parse(bytes);
    CHECK(parse_in_parts(bytes, std::vector<std::size_t>(bytes.size(), 1)) == whole);
    for (int round = 0; round < 50; ++round) {
      std::vector<std::size_t> parts;
      for (std::size_t left = bytes.size(); left != 0; left -= parts.back())
        parts.push_back(std::uniform_int_distribution<std::size_t>(1, std::min<std::size_t>(left, 20))(draw));
      CHECK(parse_in_parts(bytes, parts) == whole);
    }
  }
}

TEST_CASE("a client that does not speak HTTP is refused after its first line") {
  CHECK(parse("HELLO\r\n") == "400");
  CHECK(parse("GET / HTTP/1.1\r\nHost: a\r\n") == "incomplete");
}

TEST_CASE("a head that is too long is refused without the rest of it") {
  CHECK(parse("GET /" + std::string(40000, 'a')) == "414");
  CHECK(parse("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(40000, 'a')) == "431");
  CHECK(parse("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(16000, 'a') + "\r\n\r\n").starts_with("GET|"));
}

TEST_CASE("the largest head that the limits can name keeps its offsets") {
  limits large;
  large.head = 1 << 20;  // more than there can be
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  const std::string end = "\r\nLast: z\r\n\r\n";
  const std::string fits = start + std::string(limits::most_head - start.size() - end.size(), 'x') + end;
  request_parser parser;
  request r;
  REQUIRE(parser.parse(fits, large, r) == state::complete);
  CHECK(r.find("last") == "z");
  request_parser again;
  CHECK(again.parse(start + std::string(70000, 'x') + end, large, r) == state::failed);
  CHECK(again.status() == 431);
}

TEST_CASE("headers are counted") {
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (std::size_t i = 1; i < ordinary.headers; ++i) many += "X: y\r\n";
  CHECK(parse(many + "\r\n").starts_with("GET|"));
  CHECK(parse(many + "X: y\r\n\r\n") == "431");
  CHECK(parse(many + "X: y\r\nX: y\r\n") == "431");  // before its end
}

TEST_CASE("each of many headers is found, and a head of 32 KB has room") {
  std::string head = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 300; ++i) head += "X-" + std::to_string(i) + ": v" + std::to_string(i) + "\r\n";
  for (const char name : {'A', 'B', 'C'})
    head += std::string(1, name) + ": " + std::string(8000, 'y') + "\r\n";
  head += "\r\n";
  request_parser parser;
  request r;
  REQUIRE(parser.parse(head, ordinary, r) == state::complete);
  REQUIRE(r.size() == 304);
  for (int i = 0; i < 300; ++i) REQUIRE(r.find("x-" + std::to_string(i)) == "v" + std::to_string(i));
  CHECK(r.find("C")->size() == 8000);
}

TEST_CASE("a target with a scheme has a host") {
  for (const char* bad :
       {"http:///a", "http://", "http://?x", "http://:80/a", "http://user@b/a", "http://a b/", "http://a\"/"})
    CHECK(parse("GET " + std::string(bad) + " HTTP/1.1\r\nHost: a\r\n\r\n") == "400");
  for (const char* fine :
       {"http://b/a", "http://b:80/a", "http://b:/a", "http://[::1]:80/a", "http://b", "http://b?x"})
    CHECK(parse("GET " + std::string(fine) + " HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("GET|"));
}

TEST_CASE("a limit beyond the largest means the largest") {
  limits none;
  none.headers = SIZE_MAX;
  none.head = SIZE_MAX;
  request_parser parser;
  request r;
  CHECK(parser.parse("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n", none, r) == state::incomplete);
}

TEST_CASE("one request after the other is read from the same bytes") {
  const std::string both = good()[0] + good()[3];
  request_parser parser;
  request r;
  REQUIRE(parser.parse(both, ordinary, r) == state::complete);
  const std::size_t first = parser.size();
  parser.reset();
  REQUIRE(parser.parse(std::string_view(both).substr(first), ordinary, r) == state::complete);
  CHECK(r.path() == "/echo");
  CHECK(r.framing().length == 5);
}
