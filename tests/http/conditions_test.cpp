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

byte_ranges ranges(const std::string& headers, std::uint64_t size = 100) {
  return ranges_of(asked(headers).r, now, size);
}
byte_ranges of(const std::string& text, std::uint64_t size = 100) {
  return ranges("Range: bytes=" + text + "\r\n", size);
}
byte_ranges parts(std::vector<byte_range> all) { return {kind::parts, std::move(all)}; }

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

TEST_CASE("tags come in several lines") {
  CHECK(outcome("If-Match: \"v0\"\r\nIf-Match: \"v1\"\r\n") == condition::answer);
  CHECK(outcome("If-Match: \"v0\"\r\nIf-Match: \"v2\"\r\n") == condition::failed);
  CHECK(outcome("If-None-Match: \"v0\"\r\nIf-None-Match: W/\"v1\"\r\n") == condition::not_modified);
  CHECK(outcome("If-None-Match: \"v0\"\r\nIf-None-Match: *\r\n") == condition::not_modified);
}

TEST_CASE("the obsolete forms of a date are understood") {
  for (const char* same : {"Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"}) {
    CHECK(outcome("If-Modified-Since: " + std::string(same) + "\r\n") == condition::not_modified);
    CHECK(outcome("If-Unmodified-Since: " + std::string(same) + "\r\n") == condition::answer);
    CHECK(ranges("Range: bytes=0-9\r\nIf-Range: " + std::string(same) + "\r\n").kind == kind::parts);
  }
  CHECK(outcome("If-Unmodified-Since: Sunday, 06-Nov-94 08:49:36 GMT\r\n") == condition::failed);
}

TEST_CASE("a range is a part of what there is") {
  CHECK(of("0-9") == parts({{0, 10}}));
  CHECK(of("90-") == parts({{90, 10}}));
  CHECK(of("90-1000") == parts({{90, 10}}));
  CHECK(of("-10") == parts({{90, 10}}));
  CHECK(of("-1000") == parts({{0, 100}}));
  CHECK(of(" 0 - 9 ") == parts({{0, 10}}));
  CHECK(ranges("Range: BYTES=0-9\r\n") == parts({{0, 10}}));
}

TEST_CASE("several ranges are several parts, without those that do not exist") {
  CHECK(of("0-1,3-4") == parts({{0, 2}, {3, 2}}));
  CHECK(of("-5 , 0-0") == parts({{95, 5}, {0, 1}}));
  CHECK(of("0-1,500-") == parts({{0, 2}}));
  CHECK(of("5-4,0-0,-0") == parts({{0, 1}}));
}

TEST_CASE("the whole is sent instead of parts that are longer together, and of very many") {
  CHECK(of("0-99,0-0").kind == kind::whole);
  CHECK(of("0-59,40-").kind == kind::whole);
  std::string many = "0-0";
  for (std::size_t i = 1; i < byte_ranges::most_parts; ++i) many += ",0-0";
  CHECK(of(many, 1000).parts.size() == byte_ranges::most_parts);
  CHECK(of(many + ",0-0", 1000).kind == kind::whole);
}

TEST_CASE("a range of nothing and a malformed one are unsatisfiable") {
  for (const char* text :
       {"100-", "-0", "-", "5-4", "a-b", "0-1x", "0x1-2", "0-1,", ",0-1", "0-1,,3-4", "0-1;3", "1",
        "500-,600-", "99999999999999999999-", "0-99999999999999999999", "-99999999999999999999"}) {
    INFO(text);
    CHECK(of(text).kind == kind::unsatisfiable);
  }
}

TEST_CASE("an empty file has its beginning, and no more") {
  for (const char* text : {"0-9", "0-0", "0-", "-5", "-0", "0-1,3-4"}) CHECK(of(text, 0).kind == kind::whole);
  for (const char* text : {"5-", "5-4", "a-b"}) CHECK(of(text, 0).kind == kind::unsatisfiable);
}

TEST_CASE("another unit, and no range, mean the whole") {
  for (const char* text : {"lines=0-1", "bytes=", "bytes 0-1", "bytes = 0-1"})
    CHECK(ranges("Range: " + std::string(text) + "\r\n").kind == kind::whole);
  CHECK(ranges("").kind == kind::whole);
}

TEST_CASE("If-Range wants the part of this version only") {
  CHECK(ranges("Range: bytes=0-9\r\nIf-Range: \"v1\"\r\n").kind == kind::parts);
  CHECK(ranges("Range: bytes=0-9\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n").kind == kind::parts);
  for (const char* other : {"\"v2\"", "W/\"v1\"", "Sun, 06 Nov 1994 08:49:38 GMT", "v1"})
    CHECK(ranges("Range: bytes=0-9\r\nIf-Range: " + std::string(other) + "\r\n").kind == kind::whole);
}

TEST_CASE("gzip is accepted where it is named and not refused") {
  for (const char* yes :
       {"gzip", "deflate, gzip", "br;q=1.0, GZIP;q=0.5", "gzip; q=0.001", "gzip;q=1.000", "gzip;x=1"}) {
    INFO(yes);
    CHECK(accepts_gzip(asked("Accept-Encoding: " + std::string(yes) + "\r\n").r));
  }
  for (const char* no :
       {"", "identity", "gzip;q=0", "gzip;q=0.000", "x-gzip2", "gzip;Q=0", "gzip;q=0;x=1", "gzip;x=1;q=0",
        "gzip ; q=0", "gzip;q=", "gzip;q=2", "gzip;q=abc", "gzip;q=1.001", "gzip;q=0.0000", "*"}) {
    INFO(no);
    CHECK_FALSE(accepts_gzip(asked("Accept-Encoding: " + std::string(no) + "\r\n").r));
  }
  CHECK_FALSE(accepts_gzip(asked("").r));
  CHECK(accepts_gzip(asked("Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n").r));
}
