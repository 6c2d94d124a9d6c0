#include "weir/compare/detail/redaction.hpp"

#include <catch2/catch.hpp>

using weir::recording::in_small_letters;
using weir::recording::redaction;

namespace {

const std::vector<std::string> names = in_small_letters({"Authorization", "Cookie"});

std::string redacted(std::string_view text, std::size_t piece) {
  redaction r(names);
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += piece) r.append(out, text.substr(at, piece));
  return out;
}

}  // namespace

TEST_CASE(
    "values of the named headers are hidden and nothing changes its length, however the bytes are split") {
  const std::string_view text =
      "GET / HTTP/1.1\r\nHost: a\r\nAUTHORIZATION: Basic c2VjcmV0\r\nX-Cookie: kept\r\ncookie:a=b; c=d\r\n  "
      "folded\r\nCookies: kept\r\nAccept: */*\r\n\r\nAuthor";
  const std::string_view hidden =
      "GET / HTTP/1.1\r\nHost: a\r\nAUTHORIZATION:xxxxxxxxxxxxxxx\r\nX-Cookie: kept\r\ncookie:xxxxxxxx\r\nxx"
      "xxxxxx\r\nCookies: kept\r\nAccept: */*\r\n\r\nAuthor";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) CHECK(redacted(text, piece) == hidden);
}

TEST_CASE("the next request of a pipeline is redacted as the first") {
  const std::string_view one = "GET / HTTP/1.1\r\nCookie: a\r\n\r\n";
  const std::string both = std::string(one) + std::string(one);
  CHECK(redacted(both, 7) == "GET / HTTP/1.1\r\nCookie:xx\r\n\r\nGET / HTTP/1.1\r\nCookie:xx\r\n\r\n");
}

TEST_CASE("a space before the colon shows no secret") {
  CHECK(redacted("Cookie : a\r\n", 3) == "Cookie xxx\r\n");
}

TEST_CASE("lines that are no headers are left alone") {
  const std::string long_line(1000, 'a');
  for (const std::string& text : {std::string("*1\r\n$4\r\nPING\r\n"), long_line + ": b\r\n",
                                  std::string("cookies b\r\n"), std::string("\n\n:\n")})
    CHECK(redacted(text, 3) == text);
}
