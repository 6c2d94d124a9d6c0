#include "weir/http/detail/head_scanner.hpp"

#include <catch2/catch.hpp>

#include <string>

using weir::http::head_scanner;
using state = head_scanner::state;

TEST_CASE("the end of a head is an empty line") {
  head_scanner s;
  CHECK(s.scan("GET / HTTP/1.1\r\nHost: a\r\n\r\nbody") == state::complete);
  CHECK(s.size() == 27);
  CHECK(s.first_line() == 16);
  CHECK(s.lines() == 2);
}

TEST_CASE("a scan goes on where it stopped") {
  head_scanner s;
  CHECK(s.scan("GET / HTTP/1.1") == state::incomplete);
  CHECK(s.first_line() == 0);
  CHECK(s.scan("GET / HTTP/1.1\r") == state::incomplete);
  CHECK(s.scan("GET / HTTP/1.1\r\n") == state::incomplete);
  CHECK(s.first_line() == 16);
  CHECK(s.scan("GET / HTTP/1.1\r\n\r") == state::incomplete);
  CHECK(s.scan("GET / HTTP/1.1\r\n\r\n") == state::complete);
  CHECK(s.size() == 18);
}

TEST_CASE("each control character but a tab is found at each place of a word") {
  for (int c = 0; c < 0x20; ++c) {
    for (std::size_t at = 0; at < 20; ++at) {
      std::string line(20, 'a');
      line[at] = static_cast<char>(c);
      head_scanner s;
      const bool allowed = c == '\t';
      INFO(c << " at " << at);
      CHECK((s.scan(line + "a") == state::incomplete) == allowed);
    }
  }
}

TEST_CASE("bytes beyond ASCII are text") {
  head_scanner s;
  CHECK(s.scan("\x80\xff\xc3\xa4\xa0\x9f\x81\xfe\r\n\r\n") == state::complete);
}
