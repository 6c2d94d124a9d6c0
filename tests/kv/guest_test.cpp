#include "guest.hpp"

#include <catch2/catch.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

using kv::engine;
using kv::guest;

namespace {

constexpr kv::milliseconds_since_1970 now = 1'000'000;

// What a client is answered to a stream that comes in pieces, each in memory of its own.
std::string answers_to(engine& host, const std::string& stream, const std::vector<std::size_t>& cuts) {
  guest client(host, "");
  weir::write_buffer out;
  std::string sent;
  std::string buffered;
  std::size_t from = 0;
  for (const std::size_t to : cuts) {
    buffered = std::string(buffered.begin(), buffered.end()) + stream.substr(from, to - from);
    from = to;
    for (bool more = true; more && !client.state().leaves;) {
      const auto did = client.run(buffered, now, out);
      buffered.erase(0, did.bytes);
      sent += out.text();
      out.clear();
      more = did.is_full;
    }
  }
  return sent;
}

const std::string script =
    "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$3\r\n\r\n\t\r\nGET a\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*0\r\n\r\n"
    "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*1\r\n$6\r\nNOSUCH\r\nMGET a n 'no "
    "such'\r\n*1\r\n$4\r\nPING\r\n*1\r\n?4\r\nPING\r\n";

}  // namespace

TEST_CASE("a stream is answered the same whole, byte by byte and in random pieces") {
  std::vector<std::size_t> bytes;
  for (std::size_t i = 1; i <= script.size(); ++i) bytes.push_back(i);
  engine first;
  const std::string whole = answers_to(first, script, {script.size()});
  CHECK(whole.ends_with("+PONG\r\n-ERR Protocol error: expected '$', got '?'\r\n"));
  engine second;
  CHECK(answers_to(second, script, bytes) == whole);
  std::mt19937 draw(2);
  for (int i = 0; i < 200; ++i) {
    std::vector<std::size_t> cuts{script.size()};
    for (int k = 0; k < 6; ++k) cuts.push_back(draw() % script.size());
    std::sort(cuts.begin(), cuts.end());
    engine another;
    CHECK(answers_to(another, script, cuts) == whole);
  }
}

TEST_CASE("more requests than a batch holds are answered in order") {
  engine host;
  std::string stream;
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    stream += "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";
    expected += fmt::format(":{}\r\n", i + 1);
  }
  CHECK(answers_to(host, stream, {stream.size()}) == expected);
}

TEST_CASE("answers that are not sent hold up the requests behind them, and none is lost or run twice") {
  engine host;
  guest client(host, "");
  weir::write_buffer out;
  std::string input =
      "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\n12345\r\n*4\r\n$8\r\nSETRANGE\r\n$1\r\na\r\n$6\r\n100000\r\n$"
      "1\r\nx\r\n";
  for (int i = 0; i < 40; ++i) input += "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
  std::size_t done = 0;
  std::size_t requests = 0;
  int turns = 0;
  for (bool more = true; more; ++turns) {
    const auto did = client.run(std::string_view(input).substr(done), now, out);
    done += did.bytes;
    requests += did.requests;
    more = did.is_full;
    CHECK(out.pending() < guest::most_unsent + 2 * 100'100);
    out.clear();
  }
  CHECK(done == input.size());
  CHECK(requests == 82);
  CHECK(turns > 10);
  CHECK(host.keys().find("n")->value() == "40");
}

TEST_CASE("clients are numbered, and counted while they are there") {
  engine host;
  guest first(host, "127.0.0.1:1");
  {
    guest second(host, "127.0.0.1:2");
    CHECK(second.state().id == first.state().id + 1);
    CHECK(host.describe("clients") == "# Clients\r\nconnected_clients:2\r\n");
  }
  CHECK(host.describe("clients") == "# Clients\r\nconnected_clients:1\r\n");
}
