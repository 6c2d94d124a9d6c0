#include "terminal/line.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace terminal;

TEST_CASE("what telnet sends before a line's end is not a part of the line") {
  CHECK(without_return("/quit\r") == "/quit");
  CHECK(without_return("/quit") == "/quit");
  CHECK(without_return("a\r\r") == "a\r");
  CHECK(without_return("").empty());
}

TEST_CASE("letters of all languages are shown, control characters are not") {
  for (const char* const text :
       {"", "hello, world", "gr\xc3\xbc\xc3\x9f", "\xe6\xbc\xa2\xe5\xad\x97", "\xf0\x9f\x8d\xb5"}) {
    CHECK(is_printable(text));
    CHECK(printable(text) == text);
  }
  CHECK(printable("\x1b[2Jx") == "?[2Jx");
  CHECK(printable("a\tb\rc\x7f") == "a?b?c?");
  CHECK(printable(std::string("a\0b", 3)) == "a?b");
  CHECK(printable("\xc2\x9b"
                  "2J") == "??2J");  // a control sequence in two bytes
  CHECK(printable("\xc2\xa0") == "\xc2\xa0");
}

TEST_CASE("bytes that are no UTF-8 are not shown") {
  for (const char* const text :
       {"\x80", "\xc3", "\xc3(", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff"})
    CHECK_FALSE(is_printable(text));
  CHECK(printable("\xc3(") == "?(");
  CHECK(printable("a\xff") == "a?");
}
