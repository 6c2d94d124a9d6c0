#include "weir/compare/detail/player.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include "server/serving.hpp"
#include "weir/compare/detail/load_output.hpp"
#include "weir/connection/reader.hpp"

using namespace weir;
using namespace weir::compare;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using recording::content;
using recording::conversation;

namespace {

conversation recorded(std::uint32_t number, std::vector<conversation::piece> pieces,
                      std::chrono::microseconds began = 0us, std::chrono::microseconds ended = 100us) {
  conversation out;
  out.number = number;
  out.began = began;
  out.pieces = std::move(pieces);
  out.ended = conversation::ending::by_client;
  out.ended_at = ended;
  return out;
}

// Answers each line with itself; "odd" with something else.
task<> answer(connection client) {
  reader in(client);
  while (const auto line = co_await in.until("\n")) {
    const std::string text = *line == "odd" ? "even\n" : std::string(*line) + "\n";
    co_await client.send(text);
  }
}

script script_of(std::uint32_t number, std::vector<script::step> steps) {
  script out;
  out.number = number;
  out.steps = std::move(steps);
  return out;
}

settings one_loop() {
  settings s;
  s.listen = {"127.0.0.1:0"};
  s.model = model_kind::single_loop;
  return s;
}

}  // namespace

TEST_CASE("a script sends what the client sent, and waits for what it got") {
  content all;
  all.answers = true;
  all.conversations = {recorded(0, {{true, 1us, "GET"},
                                    {true, 2us, " /\r\n\r\n"},
                                    {false, 3us, "200\r\nDate: Mon\r\n"},
                                    {false, 4us, "\r\n"},
                                    {true, 5us, "next"},
                                    {false, 6us, "answer"}}),
                       recorded(1, {})};
  all.conversations.push_back(all.conversations[0]);
  all.conversations.back().ended = conversation::ending::unknown;
  const auto scripts = scripts_of(all);
  REQUIRE(scripts.size() == 1);
  REQUIRE(scripts[0].steps.size() == 2);
  CHECK(scripts[0].steps[0].send == "GET /\r\n\r\n");
  CHECK(scripts[0].steps[0].expect == "200\r\nDate:xxxx\r\n\r\n");
  CHECK(scripts[0].steps[0].due == 1us);
  CHECK(scripts[0].left == 100us);
  CHECK(scripts[0].steps[1].due == 5us);
  CHECK(length_of(scripts) == 1ms);  // at least
  CHECK(scripts[0].steps[1].send == "next");
  CHECK(scripts[0].steps[1].expect == "answer");
  all.answers = false;
  CHECK_THROWS_WITH(scripts_of(all), Contains("record.answers = true"));
}

TEST_CASE("as many connections are played at once as were open at a time") {
  content all;
  all.conversations = {recorded(0, {}, 0us, 10us), recorded(1, {}, 5us, 20us), recorded(2, {}, 10us, 30us),
                       recorded(3, {}, 12us, 14us)};
  CHECK(most_at_once(all) == 3);
}

TEST_CASE("answers that are the recorded ones are counted, and those that are not are shown") {
  test::serving server(one_loop(), answer);
  const std::uint16_t port = server.at().port();
  const std::vector<script> all{script_of(0, {{"a\n", "a\n"}, {"b\nc\n", "b\nc\n"}}),
                                script_of(1, {{"a\n", "a\n"}, {"odd\n", "odd.."}})};
  const std::vector<script> right{all[0]};
  const played same = play(right, port, {.at_once = 4}, 200ms);
  CHECK(same.exchanges > 0);
  CHECK(same.different == 0);
  CHECK(same.unanswered == 0);
  const auto told = parse_load_output(told_of(same));
  CHECK(told.requests_per_second.value_or(0) > 0);
  CHECK(told.p50_us.value_or(0) > 0);
  CHECK(told.p999_us.value_or(0) >= told.p50_us.value_or(0));

  played other;
  for (auto time = 200ms; other.different == 0 && time < 10s; time *= 2)
    other = play(all, port, {.at_once = 2}, time);
  CHECK(other.different > 0);
  REQUIRE(other.first);
  CHECK(other.first->connection == 1);
  CHECK(other.first->offset == 2);
  CHECK_THAT(
      told_of(other),
      Contains("connection 1, byte 2: recorded 6f 64 64 2e 2e \"odd..\", got 65 76 65 6e 0a \"even.\""));
}

namespace {

// `count` requests each 10 ms, on each of so many connections.
std::vector<script> steady(std::size_t connections, int count) {
  std::vector<script> out(connections);
  for (std::size_t i = 0; i < connections; ++i) {
    out[i].number = static_cast<std::uint32_t>(i);
    for (int k = 0; k < count; ++k) out[i].steps.push_back({"a\n", "a\n", 10ms * k});
    out[i].left = 10ms * count;
  }
  return out;
}

task<> stall_once(connection client, std::atomic<bool>* first) {
  reader in(client);
  while (const auto line = co_await in.until("\n")) {
    if (first->exchange(false)) std::this_thread::sleep_for(600ms);
    co_await client.send("a\n");
  }
}

task<> change(connection client, std::atomic<bool>* first) {
  reader in(client);
  while (const auto line = co_await in.until("\n")) {
    const std::string_view text = first->exchange(false) ? "a\n" : "b\n";
    co_await client.send(text);
  }
}

}  // namespace

TEST_CASE("in an open loop all that was due while a server stalled has waited") {
  std::atomic<bool> first{true};
  test::serving server(one_loop(), [&first](connection c) { return stall_once(std::move(c), &first); });
  // 4 connections with 90 requests each: 600 of 900 ms are the stall.
  const played p = play(steady(4, 90), server.at().port(), {.percent = 100}, 900ms);
  CHECK(p.exchanges + p.unanswered == 360);
  // 150 ms, and nearly 600, by the clock of the recording. In a closed loop 4 requests would tell of the
  // stall.
  CHECK(p.p50_us > 100'000);
  CHECK(p.p99_us > 400'000);
  CHECK(p.seconds > 0.8);
}

TEST_CASE("a recording is played faster or slower than it was recorded") {
  test::serving server(one_loop(), answer);
  const std::uint16_t port = server.at().port();
  const played twice = play(steady(2, 20), port, {.percent = 200}, 100ms);
  CHECK(twice.exchanges + twice.unanswered == 40);
  CHECK(twice.different == 0);
  const played half = play(steady(2, 20), port, {.percent = 50}, 100ms);
  CHECK(half.exchanges + half.unanswered == 10);
  const played again = play(steady(2, 5), port, {.percent = 100}, 100ms);  // two times
  CHECK(again.exchanges + again.unanswered == 20);
}

TEST_CASE("a difference tells whether the recording was played before") {
  played p;
  for (auto time = 100ms; p.exchanges < 2 && time < 10s;
       time *= 2) {  // a busy machine answers once in a while
    std::atomic<bool> first{true};
    // "a", and from the second time on "b".
    test::serving server(one_loop(), [&first](connection c) { return change(std::move(c), &first); });
    p = play({script_of(7, {{"a\n", "a\n", 0us}})}, server.at().port(), {.at_once = 1}, time);
  }
  REQUIRE(p.first);
  CHECK(p.first->repetition == 1);
  CHECK(p.different + 1 == p.exchanges);
  CHECK_THAT(shown(*p.first),
             Contains("connection 7, byte 0: recorded 61 0a \"a.\", got 62 0a \"b.\"; the recording had "
                      "been played 1 time before"));
}

TEST_CASE("in an open loop requests without an answer count as late as the end") {
  // Nobody accepts.
  const unique_fd deaf(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  REQUIRE(::bind(deaf.get(), reinterpret_cast<const sockaddr*>(&at), size) == 0);
  REQUIRE(::listen(deaf.get(), 16) == 0);
  REQUIRE(::getsockname(deaf.get(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
  const played p = play(steady(2, 10), ntohs(at.sin_port), {.percent = 100}, 100ms);
  CHECK(p.exchanges == 0);
  CHECK(p.unanswered == 20);
  CHECK(p.p50_us >= 1'000'000);
  CHECK(parse_load_output(told_of(p)).unanswered == 20);
}
