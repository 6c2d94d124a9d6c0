#include "request_parser.hpp"

#include <catch2/catch.hpp>

#include <fmt/format.h>

#include <random>
#include <string>
#include <vector>

using kv::request_parser;
using result = request_parser::result;

namespace {

using words = std::vector<std::string>;

words words_of(const request_parser& parser) {
  words out;
  for (std::size_t i = 0; i < parser.words().size(); ++i) out.emplace_back(parser.words()[i]);
  return out;
}

// All requests of a stream that comes in pieces, and the error, if it ends with one. Each piece is given from
// memory of its own, so that a view into an older one would be found out.
std::vector<words> parse_in_pieces(const std::string& stream, const std::vector<std::size_t>& cuts) {
  request_parser parser;
  std::vector<words> out;
  std::string buffered;
  std::size_t from = 0;
  for (const std::size_t to : cuts) {
    buffered = std::string(buffered) + stream.substr(from, to - from);
    from = to;
    for (result r{}; (r = parser.parse(buffered)) != result::incomplete;) {
      if (r == result::refused) {
        out.push_back({"!" + parser.error()});
        return out;
      }
      out.push_back(words_of(parser));
      buffered.erase(0, parser.size());
    }
  }
  return out;
}

std::vector<words> parse_whole(const std::string& stream) { return parse_in_pieces(stream, {stream.size()}); }

std::vector<words> parse_by_bytes(const std::string& stream) {
  std::vector<std::size_t> cuts;
  for (std::size_t i = 1; i <= stream.size(); ++i) cuts.push_back(i);
  return parse_in_pieces(stream, cuts);
}

std::string error_of(const std::string& stream) {
  const auto all = parse_whole(stream);
  CHECK(parse_by_bytes(stream) == all);
  return all.empty() || all.back().empty() || all.back()[0][0] != '!' ? "" : all.back()[0].substr(1);
}

std::string request(const words& of) {
  std::string out = fmt::format("*{}\r\n", of.size());
  for (const auto& word : of) out += fmt::format("${}\r\n{}\r\n", word.size(), word);
  return out;
}

}  // namespace

TEST_CASE("arrays of bulk strings become words, with any bytes in them") {
  const words binary{"SET", std::string("\0\r\n$", 4), std::string(1500, 'x'), ""};
  CHECK(parse_whole(request({"GET", "a"}) + request(binary) + request({"PING"})) ==
        std::vector<words>{{"GET", "a"}, binary, {"PING"}});
}

TEST_CASE("lines are split into words as a shell would") {
  CHECK(parse_whole("GET a\r\nSET  a\t'b c'  \"d\\x41\\n\\\"\\q\"\nget ''\r\n") ==
        std::vector<words>{{"GET", "a"}, {"SET", "a", "b c", "dA\n\"q"}, {"get", ""}});
  CHECK(parse_whole("set a 'it\\'s \\n'\r\n") == std::vector<words>{{"set", "a", "it's \\n"}});
  CHECK(error_of("set a \"b\r\n") == "Protocol error: unbalanced quotes in request");
  CHECK(error_of("set a 'b'c\r\n") == "Protocol error: unbalanced quotes in request");
}

TEST_CASE("empty requests have no words") {
  CHECK(parse_whole("\r\n*0\r\n*-1\r\n  \r\nPING\r\n") == std::vector<words>{{}, {}, {}, {}, {"PING"}});
}

TEST_CASE("a stream gives the same whole, byte by byte and in random pieces") {
  std::mt19937 draw(7);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(draw() % n); };
  for (int round = 0; round < 60; ++round) {
    std::string stream;
    std::vector<words> expected;
    for (std::size_t requests = below(12); requests-- > 0;) {
      words each(1 + below(12));
      for (auto& word : each)
        for (std::size_t size = below(4) == 0 ? below(1200) : below(12); size-- > 0;)
          word += static_cast<char>(draw());
      stream += request(each);
      expected.push_back(each);
      if (below(3) != 0) continue;
      stream += "PING 'a b'\r\n";
      expected.push_back({"PING", "a b"});
    }
    CHECK(parse_whole(stream) == expected);
    CHECK(parse_by_bytes(stream) == expected);
    for (int splits = 0; splits < 10; ++splits) {
      std::vector<std::size_t> cuts{stream.size()};
      for (std::size_t count = below(20); count-- > 0 && !stream.empty();)
        cuts.push_back(below(stream.size()));
      std::sort(cuts.begin(), cuts.end());
      CHECK(parse_in_pieces(stream, cuts) == expected);
    }
  }
}

TEST_CASE("a breach of the protocol is refused with the messages of Redis") {
  CHECK(error_of("*x\r\n") == "Protocol error: invalid multibulk length");
  CHECK(error_of("*01\r\n") == "Protocol error: invalid multibulk length");
  CHECK(error_of("*2147483648\r\n") == "Protocol error: invalid multibulk length");
  CHECK(error_of("*99999999999999999999\r\n") == "Protocol error: invalid multibulk length");
  CHECK(error_of("*1\r\n:1\r\n") == "Protocol error: expected '$', got ':'");
  CHECK(error_of("*1\r\n$-1\r\n") == "Protocol error: invalid bulk length");
  CHECK(error_of("*1\r\n$2147483647\r\n") == "Protocol error: invalid bulk length");
  CHECK(error_of("*1\r\n$4x\r\nPING\r\n") == "Protocol error: invalid bulk length");
}

TEST_CASE("lines that do not end are refused") {
  const std::string digits(70'000, '1');
  CHECK(parse_whole("*" + digits).back()[0] == "!Protocol error: too big mbulk count string");
  CHECK(parse_whole("*1\r\n$" + digits).back()[0] == "!Protocol error: too big bulk count string");
  CHECK(parse_whole(digits).back()[0] == "!Protocol error: too big inline request");
}

TEST_CASE("the longest word may be set, and one byte more is refused") {
  request_parser parser;
  parser.set_limits(5);
  CHECK(parser.parse("*1\r\n$5\r\n12345\r\n") == result::complete);
  CHECK(parser.parse("*1\r\n$6\r\n123456\r\n") == result::refused);
}

TEST_CASE("a request that is given up leaves nothing behind") {
  request_parser parser;
  CHECK(parser.parse("*3\r\n$3\r\nSET\r\n$1\r\na\r\n") == result::incomplete);
  parser.start_over();
  CHECK(parser.parse("*1\r\n$4\r\nPING\r\n") == result::complete);
  CHECK(words_of(parser) == words{"PING"});
}

TEST_CASE("words know whether they lie in what was parsed") {
  request_parser parser;
  CHECK(parser.parse("*1\r\n$4\r\nPING\r\n") == result::complete);
  CHECK(parser.is_in_place());
  CHECK(parser.parse("PING\r\n") == result::complete);
  CHECK(!parser.is_in_place());
}
