#include "guest.hpp"

#include <catch2/catch.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <memory>
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

TEST_CASE("clients are numbered, counted while they are there, and told of") {
  engine host;
  const auto told = [&host](const char* what) {
    return host.describe("clients").find(what) != std::string::npos;
  };
  weir::write_buffer out;
  guest first(host, "127.0.0.1:1");
  {
    guest second(host, "127.0.0.1:2");
    CHECK(second.state().id == first.state().id + 1);
    CHECK(told("connected_clients:2\r\n"));
    first.run("CLIENT LIST\r\n", now, out);
    CHECK(out.text().find("addr=127.0.0.1:1 ") < out.text().find("addr=127.0.0.1:2 "));
    CHECK(out.text().find("addr=127.0.0.1:2 ") != std::string::npos);
    out.clear();
  }
  CHECK(told("connected_clients:1\r\n"));
  first.run("CLIENT LIST\r\n", now, out);
  CHECK(out.text().find("addr=127.0.0.1:2 ") == std::string::npos);
}

TEST_CASE("a client that leaves before it has said anything is forgotten too") {
  engine host;
  weir::write_buffer out;
  guest first(host, "a:1");
  for (int i = 0; i < 10; ++i) guest(host, "b:2");
  {
    guest third(host, "c:3");
    first.run("CLIENT LIST\r\n", now, out);
  }
  CHECK(out.text().find("addr=c:3 ") != std::string::npos);
  CHECK(out.text().find("addr=b:2 ") == std::string::npos);
}

TEST_CASE("what a client has begun ends with it") {
  engine host;
  weir::write_buffer out;
  guest stays(host, "");
  {
    guest goes(host, "");
    goes.run("WATCH a\r\nSUBSCRIBE c\r\n", now, out);
    stays.run("SET a 1\r\nPUBLISH c x\r\n", now, out);
    CHECK(out.text() == "+OK\r\n:1\r\n");
    out.clear();
  }
  stays.run("SET a 2\r\nPUBLISH c x\r\nPUBSUB CHANNELS\r\n", now, out);
  CHECK(out.text() == "+OK\r\n:0\r\n*0\r\n");
}

TEST_CASE("a client that has not authenticated may send little") {
  engine host;
  host.set_password("secret");
  weir::write_buffer out;
  guest many(host, "");
  many.run("*11\r\n", now, out);
  CHECK(out.text() == "-ERR Protocol error: unauthenticated multibulk length\r\n");
  out.clear();
  guest large(host, "");
  large.run("*2\r\n$3\r\nGET\r\n$16385\r\n", now, out);
  CHECK(out.text() == "-ERR Protocol error: unauthenticated bulk length\r\n");
  out.clear();
  guest known(host, "");
  known.run("AUTH secret\r\n*11\r\n", now, out);
  CHECK(out.text() == "+OK\r\n");
  CHECK_FALSE(known.state().leaves);
}

TEST_CASE("a subscriber's answers and messages come in the order in which they were made") {
  engine host;
  weir::write_buffer out;
  guest hears(host, "");
  guest says(host, "");
  hears.run("PING\r\nSUBSCRIBE a\r\nPING\r\n", now, out);
  CHECK(out.pending() == 0);
  says.run("PUBLISH a one\r\nPUBLISH b none\r\n", now, out);
  CHECK(out.text() == ":1\r\n:0\r\n");
  out.clear();
  hears.run("UNSUBSCRIBE\r\nPING\r\n", now, out);
  const auto box = hears.messages();
  std::string all;
  while (const auto next = box->try_receive()) all += **next;
  CHECK(all ==
        "+PONG\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n"
        "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$3\r\none\r\n"
        "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n+PONG\r\n");
  CHECK(hears.state().messages_end);
  out.clear();
  hears.run("PING\r\n", now, out);
  CHECK(out.text() == "+PONG\r\n");
  CHECK_FALSE(hears.has_messages());
}

TEST_CASE("a subscriber that does not read is cut, and holds up no publisher") {
  struct cut_counter : kv::presence {
    int cuts = 0;
    void cut(way) noexcept override { ++cuts; }
  };
  engine host;
  weir::write_buffer out;
  const auto there = std::make_shared<cut_counter>();
  guest deaf(host, "", "", -1, there);
  deaf.run("SUBSCRIBE a\r\n", now, out);
  guest says(host, "");
  const std::string large =
      "*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n$4000000\r\n" + std::string(4'000'000, 'x') + "\r\n";
  for (int i = 0; i < 10; ++i) says.run(large, now, out);
  CHECK(there->cuts >= 1);
  CHECK(deaf.messages()->pending() <= kv::inbox::most_bytes);
}
