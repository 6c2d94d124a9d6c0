#include "command.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace cache;

namespace {

std::string error_of(std::string_view line) { return std::string(parse_command(line).error); }

}  // namespace

TEST_CASE("a line ends with a newline, before which a return belongs to the end") {
  CHECK_FALSE(first_line("get k"));
  CHECK_FALSE(first_line("get k\r"));
  CHECK(first_line("get k\r\nget l\r\n")->line == "get k");
  CHECK(first_line("get k\r\nget l\r\n")->consumed == 7);
  CHECK(first_line("get k\n")->line == "get k");
  CHECK(first_line("\r\n")->line.empty());
  CHECK(first_line("ab\n", 2)->line == "ab");
}

TEST_CASE("words are cut off at any number of spaces") {
  std::string_view line = "  one two   three ";
  CHECK(take_word(line) == "one");
  CHECK(take_word(line) == "two");
  CHECK(take_word(line) == "three");
  CHECK(take_word(line).empty());
  CHECK(take_word(line).empty());
}

TEST_CASE("what stores is read with all its numbers") {
  const command c = parse_command("cas key 4294967295 -7 1000 18446744073709551615 noreply");
  CHECK(c.what == verb::update);
  CHECK(c.how == update::cas);
  CHECK(c.quiet);
  CHECK(c.key == "key");
  CHECK(c.flags == 4294967295);
  CHECK(c.exptime == -7);
  CHECK(c.size == 1000);
  CHECK(c.number == 18446744073709551615ULL);
  CHECK_FALSE(parse_command("set key 1 2 3").quiet);
  CHECK(parse_command("prepend key 1 2 3").how == update::prepend);
}

TEST_CASE("a get keeps its keys, a gat its time") {
  CHECK(parse_command("get a b c").key == " a b c");
  CHECK_FALSE(parse_command("get a").shows_version);
  CHECK(parse_command("gets a").shows_version);
  const command c = parse_command("gats 100 a b");
  CHECK(c.what == verb::get);
  CHECK(c.shows_version);
  CHECK(c.has_exptime);
  CHECK(c.exptime == 100);
  CHECK(c.key == " a b");
}

TEST_CASE("a key has at most 250 bytes, in every command") {
  const std::string longest(250, 'k');
  const std::string longer(251, 'k');
  for (const std::string_view form :
       {"get {}", "get a {}", "gat 0 {}", "set {} 0 0 1", "incr {} 1", "touch {} 1", "delete {}"}) {
    const std::size_t at = form.find("{}");
    const auto with = [&](const std::string& key) {
      return std::string(form.substr(0, at)) + key + std::string(form.substr(at + 2));
    };
    CHECK(error_of(with(longest)).empty());
    CHECK(error_of(with(longer)) == "CLIENT_ERROR bad command line format");
  }
}

TEST_CASE("each mistake has its own reply") {
  for (const std::string_view line : {"", " ", "GET a", "foo", "get", "get ", "gat", "set k 0 0",
                                      "set k 0 0 1 noreply x", "cas k 0 0 1", "incr k", "incr k 1 noreply x",
                                      "touch k", "delete", "verbosity", "verbosity 1 2 3", "flush_all 1 2 3"})
    CHECK(error_of(line) == "ERROR");
  for (const std::string_view line :
       {"set k x 0 1", "set k 0 x 1", "set k 0 0 x", "set k 0 0 1x", "set k 0 0 -1", "set k -1 0 1",
        "set k 0 0 2147483648", "cas k 0 0 1 x"})
    CHECK(error_of(line) == "CLIENT_ERROR bad command line format");
  CHECK(error_of("incr k x") == "CLIENT_ERROR invalid numeric delta argument");
  CHECK(error_of("decr k -1") == "CLIENT_ERROR invalid numeric delta argument");
  CHECK(error_of("incr k 18446744073709551616") == "CLIENT_ERROR invalid numeric delta argument");
  CHECK(error_of("touch k x") == "CLIENT_ERROR invalid exptime argument");
  CHECK(error_of("gat x k") == "CLIENT_ERROR invalid exptime argument");
  CHECK(error_of("flush_all x") == "CLIENT_ERROR invalid exptime argument");
  CHECK(error_of("delete k 5") == "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]");
}

TEST_CASE("a mistake is as quiet as its command") {
  CHECK(parse_command("set k 0 0 x noreply").quiet);
  CHECK_FALSE(parse_command("set k 0 0 x").quiet);
  CHECK(parse_command("delete k 0 noreply").quiet);
  CHECK(parse_command("delete k 0 noreply").error.empty());
  CHECK(parse_command("flush_all noreply").quiet);
  CHECK_FALSE(parse_command("flush_all noreply").has_exptime);
  CHECK(parse_command("flush_all 10 noreply").exptime == 10);
}
