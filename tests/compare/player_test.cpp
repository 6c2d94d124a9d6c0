#include "weir/compare/detail/player.hpp"

#include <catch2/catch.hpp>

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
  std::vector<script> all{{0, {{"a\n", "a\n"}, {"b\nc\n", "b\nc\n"}}},
                          {1, {{"a\n", "a\n"}, {"odd\n", "odd.."}}}};
  const std::vector<script> right{all[0]};
  const played same = play(right, port, 4, 200ms);
  CHECK(same.exchanges > 0);
  CHECK(same.different == 0);
  CHECK(same.unanswered == 0);
  const auto told = parse_load_output(told_of(same));
  CHECK(told.requests_per_second.value_or(0) > 0);
  CHECK(told.p50_us.value_or(0) > 0);
  CHECK(told.p999_us.value_or(0) >= told.p50_us.value_or(0));

  const played other = play(all, port, 2, 200ms);
  CHECK(other.different > 0);
  REQUIRE(other.first);
  CHECK(other.first->connection == 1);
  CHECK(other.first->offset == 2);
  CHECK_THAT(
      told_of(other),
      Contains("connection 1, byte 2: recorded 6f 64 64 2e 2e \"odd..\", got 65 76 65 6e 0a \"even.\""));
}
