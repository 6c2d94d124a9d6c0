#include "glob.hpp"

#include <catch2/catch.hpp>

#include <string>

using kv::matches;

TEST_CASE("patterns match as those of Redis") {
  CHECK(matches("*", ""));
  CHECK(matches("", ""));
  CHECK(!matches("", "a"));
  CHECK(matches("h?llo", "hello"));
  CHECK(!matches("h?llo", "hllo"));
  CHECK(matches("h*llo", "hllo"));
  CHECK(matches("h*llo", "heeeello"));
  CHECK(matches("*a*b*", "xxaxxbxx"));
  CHECK(!matches("*a*b", "xxaxxbxx"));
  CHECK(matches("h[ae]llo", "hallo"));
  CHECK(!matches("h[ae]llo", "hillo"));
  CHECK(matches("h[^e]llo", "hallo"));
  CHECK(!matches("h[^e]llo", "hello"));
  CHECK(matches("h[a-c]llo", "hbllo"));
  CHECK(matches("h[c-a]llo", "hbllo"));
  CHECK(matches("a\\*c", "a*c"));
  CHECK(!matches("a\\*c", "abc"));
  CHECK(matches("[\\]]", "]"));
  CHECK(matches("\\", "\\"));
  CHECK(matches("[abc", "c"));
  CHECK(matches(std::string_view("a\0*", 3), std::string_view("a\0b", 3)));
}

TEST_CASE("a pattern of many stars takes no longer than its length allows") {
  std::string pattern;
  for (int i = 0; i < 2000; ++i) pattern += "a*";
  CHECK(!matches(pattern + "b", std::string(20'000, 'a')));
}
