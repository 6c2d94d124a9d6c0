#include "weir/http/detail/conditions.hpp"

#include <catch2/catch.hpp>

#include <string>

#include "weir/http/detail/request_parser.hpp"

using namespace weir::http;
using kind = range_kind;

namespace {

// A request that keeps its bytes.
struct asked {
  explicit asked(const std::string& headers) : bytes("GET / HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n") {
    request_parser parser;
    REQUIRE(parser.parse(bytes, limits(), r) == request_parser::state::complete);
  }
  std::string bytes;
  request r;
};

const validators now{"\"v1\"", 784111777};

condition outcome(const std::string& headers) { return condition_of(asked(headers).r, now); }

byte_range range(const std::string& headers, std::uint64_t size = 100) {
  return range_of(asked(headers).r, now, size);
}

}  // namespace

TEST_CASE("If-None-Match goes by the tag") {
  CHECK(outcome("If-None-Match: \"v1\"\r\n") == condition::not_modified);
  CHECK(outcome("If-None-Match: \"v0\", W/\"v1\"\r\n") == condition::not_modified);
  CHECK(outcome("If-None-Match: *\r\n") == condition::not_modified);
  CHECK(outcome("If-None-Match: \"v2\"\r\n") == condition::answer);
  CHECK(outcome("") == condition::answer);
}

TEST_CASE("If-Modified-Since goes by the second, and only without a tag") {
  CHECK(outcome("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n") == condition::not_modified);
  CHECK(outcome("If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n") == condition::answer);
  CHECK(outcome("If-Modified-Since: yesterday\r\n") == condition::answer);
  CHECK(outcome("If-None-Match: \"v2\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n") ==
        condition::answer);
}

TEST_CASE("If-Match requires this version") {
  CHECK(outcome("If-Match: \"v0\", \"v1\"\r\n") == condition::answer);
  CHECK(outcome("If-Match: *\r\n") == condition::answer);
  CHECK(outcome("If-Match: \"v2\"\r\n") == condition::failed);
  CHECK(outcome("If-Match: W/\"v1\"\r\n") == condition::failed);
  CHECK(outcome("If-Match: \"v1\"\r\nIf-None-Match: \"v1\"\r\n") == condition::not_modified);
  CHECK(outcome("If-Match: \"v2\"\r\nIf-None-Match: \"v1\"\r\n") == condition::failed);
}

TEST_CASE("If-Unmodified-Since goes by the second, and only without a tag") {
  CHECK(outcome("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n") == condition::answer);
  CHECK(outcome("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n") == condition::failed);
  CHECK(outcome("If-Unmodified-Since: yesterday\r\n") == condition::answer);
  CHECK(outcome("If-Match: \"v1\"\r\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n") ==
        condition::answer);
}

TEST_CASE("a range is a part of what there is") {
  CHECK(range("Range: bytes=0-9\r\n") == byte_range{kind::part, 0, 10});
  CHECK(range("Range: bytes=90-\r\n") == byte_range{kind::part, 90, 10});
  CHECK(range("Range: bytes=90-1000\r\n") == byte_range{kind::part, 90, 10});
  CHECK(range("Range: bytes=-10\r\n") == byte_range{kind::part, 90, 10});
  CHECK(range("Range: bytes=-1000\r\n") == byte_range{kind::part, 0, 100});
  CHECK(range("Range: bytes=99-18446744073709551615\r\n") == byte_range{kind::part, 99, 1});
}

TEST_CASE("a range of nothing is unsatisfiable") {
  CHECK(range("Range: bytes=100-\r\n").kind == kind::unsatisfiable);
  CHECK(range("Range: bytes=-0\r\n").kind == kind::unsatisfiable);
  CHECK(range("Range: bytes=0-0\r\n", 0).kind == kind::unsatisfiable);
}

TEST_CASE("several ranges or a malformed one mean the whole") {
  for (const char* text : {"bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1",
                           "bytes=0x1-2", "bytes=99999999999999999999-"})
    CHECK(range("Range: " + std::string(text) + "\r\n") == byte_range{kind::whole, 0, 100});
}

TEST_CASE("If-Range wants the part of this version only") {
  CHECK(range("Range: bytes=0-9\r\nIf-Range: \"v1\"\r\n").kind == kind::part);
  CHECK(range("Range: bytes=0-9\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n").kind == kind::part);
  for (const char* other : {"\"v2\"", "W/\"v1\"", "Sun, 06 Nov 1994 08:49:38 GMT", "v1"})
    CHECK(range("Range: bytes=0-9\r\nIf-Range: " + std::string(other) + "\r\n").kind == kind::whole);
}

TEST_CASE("gzip is accepted where it is named and not refused") {
  for (const char* yes : {"gzip", "deflate, gzip", "br;q=1.0, GZIP;q=0.5", "gzip; q=0.001"})
    CHECK(accepts_gzip(asked("Accept-Encoding: " + std::string(yes) + "\r\n").r));
  for (const char* no : {"", "identity", "gzip;q=0", "gzip;q=0.000", "x-gzip2"})
    CHECK_FALSE(accepts_gzip(asked("Accept-Encoding: " + std::string(no) + "\r\n").r));
  CHECK_FALSE(accepts_gzip(asked("").r));
}
