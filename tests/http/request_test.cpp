#include "weir/http/request.hpp"

#include <catch2/catch.hpp>

#include <string>

#include "weir/http/detail/request_parser.hpp"

using namespace weir::http;
using state = request_parser::state;

namespace {

const limits ordinary;

}  // namespace

TEST_CASE("a target without a path means the root") {
  request_parser parser;
  request r;
  REQUIRE(parser.parse("GET http://host?a HTTP/1.1\r\nHost: host\r\n\r\n", ordinary, r) == state::complete);
  CHECK(r.path() == "/");
  CHECK(r.query() == "a");
}

TEST_CASE("a header is found in any case, and the first one of a name") {
  request_parser parser;
  request r;
  REQUIRE(parser.parse("GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\n\r\n", ordinary, r) ==
          state::complete);
  CHECK(r.find("x-A") == "1");
  CHECK_FALSE(r.find("x-b"));
}

TEST_CASE("a request moves with its bytes") {
  std::string bytes = "GET /a?b HTTP/1.1\r\nHost: a\r\n\r\n";
  request_parser parser;
  request r;
  REQUIRE(parser.parse(bytes, ordinary, r) == state::complete);
  const std::string copy = bytes;
  bytes.assign(bytes.size(), '!');
  r.move_to(copy.data());
  CHECK(r.method() == "GET");
  CHECK(r.query() == "b");
  CHECK(r.find("host") == "a");
}
