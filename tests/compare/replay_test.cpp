#include "weir/compare/replay.hpp"

#include <catch2/catch.hpp>

#include <unistd.h>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <new>
#include <set>
#include <string>

#include "compare/recorded_clients.hpp"
#include "sockets.hpp"
#include "weir/connection/reader.hpp"
#include "weir/connection/writer.hpp"
#include "weir/core/offload.hpp"
#include "weir/core/sleep.hpp"
#include "weir/task/task.hpp"

using namespace weir;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using test::exchanges;
using test::recorded_clients;

namespace {

task<> echo(connection client) {
  while (auto data = co_await client.receive()) co_await client.send(data);
}

// Answers each line in capital letters.
task<> shout(connection client) {
  writer out(client);
  reader in(client, out);
  while (const auto line = co_await in.until("\n")) {
    std::string text(*line);
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    out.write(text + "\n");
  }
  co_await out.flush();
}

// The same, but what of a line has come with the one before is forgotten.
task<> shout_and_forget(connection client) {
  std::string line;
  for (;;) {
    const auto data = co_await client.receive();
    if (!data) break;
    std::string out;
    for (const char c : data.text()) {
      line += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
      if (c == '\n') out += std::exchange(line, {});
    }
    if (line.size() > 3) line.pop_back();  // the planted fault: only where a client's bytes are split
    co_await client.send(out);
  }
}

task<> starting(std::string* story) {
  co_await sleep_for(1s);
  *story += "starts";
}

service_form form_of(connection_handler h) { return keeping(state_kind::per_connection, std::move(h)); }

recorded_clients shouting(int clients = 3) {
  recorded_clients out;
  for (int i = 0; i < clients; ++i)
    out.add(10ms * i, 20ms,
            {{"hello\n", "HELLO\n"}, {"good morning\nhow\n", "GOOD MORNING\nHOW\n"}, {"bye\n", "BYE\n"}});
  return out;
}

bool fails = false;  // an allocation
enum class way { closes, resets, ends_between };

// Two lines for each, but once an allocation has failed the first of them, or none, and an end.
task<> fails_halfway(connection client, way how) {
  reader in(client);
  while (const auto line = co_await in.until("\n")) {
    if (!fails) {
      co_await client.send("one\ntwo\n");
      continue;
    }
    if (how == way::ends_between) break;
    co_await client.send("one\n");
    if (how == way::resets) client.abort();
    break;
  }
}

// A file that lives as long as this.
class file {
 public:
  explicit file(std::string_view text)
      : path_(std::filesystem::temp_directory_path() / ("replay" + std::to_string(::getpid()))) {
    std::ofstream(path_) << text;
  }
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  ~file() { std::filesystem::remove(path_); }
  [[nodiscard]] std::string name() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("an hour of recorded clients is replayed to a handler, and they get what they got") {
  recorded_clients all;
  for (int i = 0; i < 60; ++i) all.add(1min * i, 1s, {{"hello", "hello"}, {"again", "again"}});
  const file recorded(all.text());
  const auto done = replay(recorded.name(), echo);
  INFO(done.failure);
  CHECK(done);
  CHECK(done.problems.empty());
  REQUIRE(done.clients.size() == 60);
  CHECK(done.clients[59].number == 59);
  CHECK(done.clients[59].answers == "helloagain");
  CHECK((done.clients[59].ended && !done.clients[59].by_reset));
  CHECK(done.took >= 59min);
}

TEST_CASE(
    "the first answer that differs is shown with its connection and offset, in hexadecimal and as text") {
  recorded_clients all;
  all.add(0us, 1ms, {{"same\n", "SAME\n"}}).add(5ms, 1ms, {{"a\n", "A\n"}, {"other\n", "OTtER\n"}});
  const auto done = replay(all.content(), form_of(shout));
  CHECK_FALSE(done);
  CHECK(done.failure == "connection 1, byte 4: recorded 74 45 52 0a \"tER.\", got 48 45 52 0a \"HER.\"");

  const auto less = replay(recorded_clients().add(0us, 1ms, {{"a\n", "A\nB\n"}}).content(), form_of(shout));
  CHECK(less.failure == "connection 0, byte 2: recorded 42 0a \"B.\", got nothing \"\"");
  const auto more = replay(recorded_clients().add(0us, 1ms, {{"a\nb\n", "A\n"}}).content(), form_of(shout));
  CHECK_THAT(more.failure, Contains("connection 0, byte 2: recorded  \"\", got 42 0a \"B.\""));
}

TEST_CASE("of a recording that is cut off anywhere what is whole is replayed") {
  const std::string text = shouting().text();
  for (std::size_t size = 40; size < text.size(); size += 7) {
    const auto part = recording::parse(text.substr(0, size));
    const auto done = replay(part, form_of(shout));
    CAPTURE(size, done.failure);
    CHECK(done);
    CHECK(done.clients.size() == part.conversations.size());
    CHECK(done.problems == part.problems);
  }
  const file cut(text.substr(0, text.size() - 1));
  CHECK_THAT(replay(cut.name(), shout).problems.at(0), Contains("middle of a block"));
}

TEST_CASE(
    "a recording with a wrong checksum is replayed without that block, and another version is refused") {
  std::string text = shouting().text();
  text[text.size() - 1] = static_cast<char>(text[text.size() - 1] ^ 1);
  const file broken(text);
  const auto done = replay(broken.name(), shout);
  CHECK(done);
  CHECK(done.clients.size() == 2);
  CHECK_THAT(done.problems.at(0), Contains("wrong checksum"));

  text[8] = 2;
  const file newer(text);
  CHECK_THROWS_WITH(replay(newer.name(), shout), Contains("of version 2, and this program reads version 1"));
  CHECK_THROWS_WITH(replay("/nowhere/at/all", shout), Contains("/nowhere/at/all"));
}

TEST_CASE("a connection whose recording broke off is played as far as it goes") {
  std::string events;
  using recording::event;
  append_event(events, event::kind::begin, 0, 0us, std::string_view("\0", 1));
  append_event(events, event::kind::received, 0, 1ms, "a\nb\n");
  append_event(events, event::kind::sent, 0, 2ms, "A\n");
  const auto part = recording::parse(recording::session_block(1, {.began = 1, .answers = true}) +
                                     recording::events_block(1, 1, events));
  const auto done = replay(part, form_of(shout));
  INFO(done.failure);
  CHECK(done);
  CHECK(done.clients.at(0).answers == "A\nB\n");
}

TEST_CASE("with the same seed the same happens, and with another something else") {
  const auto all = shouting(5).content();
  std::set<std::uint64_t> traces;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    replay_options how{.faults = replay_faults::of_timing(seed)};
    how.faults.reorder = seed % 2 == 0;
    how.faults.leave = seed % 4 == 0;
    const auto once = replay(all, form_of(shout), how);
    const auto twice = replay(all, form_of(shout), how);
    CAPTURE(seed, once.failure);
    CHECK(once);
    CHECK(once.trace == twice.trace);
    CHECK(once.took == twice.took);
    traces.insert(once.trace);
  }
  CHECK(traces.size() == 8);
}

TEST_CASE("a handler that loses a byte where bytes are split is found, and its seed shows it again") {
  const auto all = shouting().content();
  const auto make = [] { return form_of(shout_and_forget); };
  CHECK(replay(all, make()));  // not without faults
  replay_options how{.faults = {.seed = 1, .split = true}};
  const auto found = replay_seeds(all, make, 100, how);
  REQUIRE_FALSE(found);
  CHECK_THAT(found.failure, Contains("seed ") && Contains("connection ") && Contains("recorded "));
  INFO(found.failure);

  how.faults.seed = std::stoull(found.failure.substr(5));
  const auto again = replay(all, make(), how);
  CHECK(again.failure == found.failure);
  CHECK(again.trace == found.trace);
  CHECK(replay_seeds(all, [] { return form_of(shout); }, 100, how));
}

TEST_CASE("without recorded answers those of the first replay count") {
  recorded_clients all(false);
  all.add(0us, 1ms, {{"hello you\n", ""}, {"and you\n", ""}});
  CHECK(replay(all.content(), form_of(shout_and_forget)));
  const replay_options how{.faults = {.seed = 1, .split = true}};
  CHECK_FALSE(replay_seeds(all.content(), [] { return form_of(shout_and_forget); }, 50, how));
}

TEST_CASE("a handler that does not end when its client has, or never waits, is a failure and no hang") {
  const auto all = recorded_clients().add(0us, 1ms, {{"x", ""}}).content();
  const auto waits = [](connection client) -> task<> {
    co_await sleep_for(24h);
    client.close();
  };
  CHECK_THAT(replay(all, form_of(waits)).failure, Contains("connection 0: its client has ended it"));
  CHECK(replay(all, form_of(waits), {.patience = 48h}));
  const auto spins = [](connection) -> task<> {
    for (;;) co_await yield();
  };
  CHECK_THAT(replay(all, form_of(spins)).failure, Contains("never wait"));
}

TEST_CASE("clients that stop reading for a while get all of a long answer") {
  static const std::string many = test::pattern(300'000);
  const auto answer = [](connection client) -> task<> {
    reader in(client);
    while (const auto line = co_await in.until("\n")) co_await client.send(many);
  };
  recorded_clients all;
  for (int i = 0; i < 4; ++i) all.add(1ms * i, 5ms, {{"go\n", many}, {"go\n", many}});
  replay_options how{.faults = {.seed = 1, .delay = true, .pause = true, .reorder = true}};
  const auto done = replay_seeds(all.content(), [&] { return form_of(answer); }, 10, how);
  INFO(done.failure);
  CHECK(done);
}

TEST_CASE("work that is offloaded has ended before time moves on") {
  const auto slow = [](connection client) -> task<> {
    reader in(client);
    while (const auto line = co_await in.until("\n")) {
      const std::string text = std::string(*line) + "!\n";
      const auto work = [text] { return text; };
      const std::string made = co_await offload(work);
      co_await client.send(made);
    }
  };
  recorded_clients all;
  for (int i = 0; i < 10; ++i) all.add(1ms, 1ms, {{"a\n", "a!\n"}, {"b\nc\n", "b!\nc!\n"}});
  replay_options how{.faults = {.seed = 3, .split = true, .reorder = true}};
  const auto once = replay(all.content(), form_of(slow), how);
  const auto twice = replay(all.content(), form_of(slow), how);
  INFO(once.failure);
  CHECK(once);
  CHECK(once.trace == twice.trace);
  CHECK(once.took < 1s);
}

TEST_CASE("a service starts before the first client and stops after the last") {
  std::string story;
  service_form form = form_of([&story](connection client) {
    story += " serves";
    return echo(std::move(client));
  });
  form.start = [&story](core&) { return starting(&story); };
  form.stop = [&story](core&) { story += " stops"; };
  CHECK(replay(recorded_clients().add(0us, 1ms, {{"a", "a"}}).content(), form));
  CHECK(story == "starts serves stops");
  form.start = [](core&) { throw std::runtime_error("no disk"); };
  CHECK_THROWS_WITH(replay(recorded_clients().content(), form), "no disk");
}

TEST_CASE("a handler that parks its connections is called again when bytes come") {
  const auto once = [](connection client) -> task<> {
    auto data = co_await client.receive();
    if (!data) co_return;
    co_await client.send(data);
    client.park();
  };
  const auto all = recorded_clients().add(0us, 1s, {{"a", "a"}, {"b", "b"}, {"c", "c"}}).content();
  const auto done = replay(all, form_of(once));
  INFO(done.failure);
  CHECK(done);
}

TEST_CASE("an idle client is cut by the clock of the replay, as the configuration says") {
  const auto all = recorded_clients().add(0us, 90s, {{"a", "a"}, {"b", "b"}}).content();
  CHECK_THAT(replay(all, form_of(echo)).failure, Contains("byte 0: recorded 61"));
  replay_options patient;
  patient.config.limits.idle_timeout = 2min;
  CHECK(replay(all, form_of(echo), patient));
}

TEST_CASE("after a fault a part of an answer is allowed only if it does not look whole") {
  const auto make = [](way w) {
    return form_of([w](connection client) { return fails_halfway(std::move(client), w); });
  };
  const auto all = recorded_clients().add(0us, 1ms, {{"a\n", "one\ntwo\n"}, {"b\n", "one\ntwo\n"}}).content();
  replay_options how{.faults = {.seed = 1, .reorder = true, .failure = true}};
  how.fail = [](std::uint64_t n) { fails = fails || n != 0; };
  const auto seeds = [&](way w) {
    std::string out;
    for (how.faults.seed = 1; out.empty() && how.faults.seed < 20; ++how.faults.seed) {
      fails = false;
      out = replay(all, make(w), how).failure;
    }
    return out;
  };
  CHECK_THAT(seeds(way::closes),
             Contains("connection 0: after 4 bytes of answers the server ends it as if they were whole") ||
                 Contains("after 12 bytes"));
  CHECK(seeds(way::resets).empty());
  CHECK(seeds(way::ends_between).empty());
  how.is_whole = [](std::string_view answers) { return answers.ends_with('\n'); };
  CHECK(seeds(way::closes).empty());
  how.fail = {};
  CHECK_THROWS_WITH(replay(all, make(way::closes), how), Contains("replay_options::fail"));
}

TEST_CASE("clients that leave in the middle of something change nothing for the others") {
  const replay_options how{
      .faults = {.seed = 1, .split = true, .delay = true, .reorder = true, .leave = true}};
  const auto done = replay_seeds(shouting(8).content(), [] { return form_of(shout); }, 30, how);
  INFO(done.failure);
  CHECK(done);
}
