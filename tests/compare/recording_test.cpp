#include "weir/compare/detail/recording.hpp"

#include <catch2/catch.hpp>

#include <stdexcept>

using namespace weir::recording;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using ending = conversation::ending;

namespace {

// Two connections, one after the other, in two blocks of events behind that of the session.
std::vector<std::string> blocks() {
  std::string first;
  append_event(first, event::kind::begin, 0, 10us, std::string_view("\0", 1));
  append_event(first, event::kind::received, 0, 20us, "ping");
  append_event(first, event::kind::sent, 0, 25us, "pong");
  append_event(first, event::kind::input_ended, 0, 30us, "");
  append_event(first, event::kind::end, 0, 31us, "");
  append_event(first, event::kind::begin, 1, 40us, std::string_view("\0", 1));
  append_event(first, event::kind::received, 1, 50us, "half");
  std::string second;
  append_event(second, event::kind::received, 1, 60us, "other half");
  append_event(second, event::kind::end, 1, 70us, "");
  append_event(second, event::kind::begin, 2, 80us, std::string_view("\0", 1));
  append_event(second, event::kind::input_reset, 2, 90us, "");
  append_event(second, event::kind::end, 2, 91us, "");
  return {session_block(7, {.began = 1'000'000, .answers = true}), events_block(7, 1, first),
          events_block(7, 2, second)};
}

std::string joined(const std::vector<std::string>& all) {
  std::string out;
  for (const auto& each : all) out += each;
  return out;
}

}  // namespace

TEST_CASE("what was written is read again") {
  const content all = parse(joined(blocks()));
  CHECK(all.problems.empty());
  CHECK((all.answers && !all.redacted));
  REQUIRE(all.conversations.size() == 3);
  const conversation& first = all.conversations[0];
  CHECK(first.began == 10us);
  REQUIRE(first.pieces.size() == 2);
  CHECK((first.pieces[0].from_client && first.pieces[0].bytes == "ping" && first.pieces[0].at == 20us));
  CHECK((!first.pieces[1].from_client && first.pieces[1].bytes == "pong"));
  CHECK((first.ended == ending::by_client && first.ended_at == 30us));
  CHECK(all.conversations[1].ended == ending::by_server);
  CHECK(all.conversations[1].pieces.size() == 2);
  CHECK(all.conversations[2].ended == ending::by_reset);
}

TEST_CASE("a file that is cut off anywhere gives what is whole before it") {
  const auto all = blocks();
  const std::string text = joined(all);
  const std::size_t two = all[0].size() + all[1].size();
  for (std::size_t size = 10; size < text.size(); ++size) {
    const content part = parse(text.substr(0, size));
    const std::size_t expected = size < two ? 0 : 2;
    CAPTURE(size);
    CHECK(part.conversations.size() == expected);
    CHECK(part.problems.empty() == (size == all[0].size() || size == two));
    if (expected == 2) CHECK(part.conversations[0].ended == ending::by_client);
    if (expected == 2) CHECK(part.conversations[1].ended == ending::unknown);
  }
  CHECK_THAT(parse(text.substr(0, text.size() - 1)).problems.at(0), Contains("middle of a block"));
}

TEST_CASE("a byte that changes anywhere costs its block, and connections that were open over it") {
  const auto all = blocks();
  for (std::size_t which = 1; which < 3; ++which)
    for (std::size_t at = which == 1 ? 0 : 0; at < all[which].size(); ++at) {
      auto broken = all;
      broken[which][at] = static_cast<char>(broken[which][at] ^ 0x10);
      CAPTURE(which, at);
      const content rest = parse(joined(broken));
      CHECK_FALSE(rest.problems.empty());
      if (which == 1) {
        REQUIRE(rest.conversations.size() == 1);  // the one that begins behind the block
        CHECK(rest.conversations[0].number == 2);
      } else {
        REQUIRE(rest.conversations.size() == 2);
        CHECK(rest.conversations[1].ended == ending::unknown);
        CHECK(rest.conversations[1].pieces.size() == 1);
      }
    }
}

TEST_CASE("a block that is missing is told, and no connection has a gap") {
  const auto all = blocks();
  const content rest = parse(all[0] + all[2]);
  CHECK_THAT(rest.problems.at(0), Contains("blocks 1 to 1 of a session are missing"));
  REQUIRE(rest.conversations.size() == 1);
  CHECK(rest.conversations[0].number == 2);
}

TEST_CASE("sessions of several processes lie in one file, on one clock") {
  auto all = blocks();
  std::string events;
  append_event(events, event::kind::begin, 0, 5us, std::string_view("\0", 1));
  append_event(events, event::kind::end, 0, 6us, "");
  all.insert(all.begin() + 2, session_block(8, {.began = 1'000'100}));
  all.push_back(events_block(8, 1, events));
  const content both = parse(joined(all));
  CHECK(both.problems.empty());
  REQUIRE(both.conversations.size() == 4);
  CHECK(both.conversations[3].session == 8);
  CHECK(both.conversations[3].began == 105us);
}

TEST_CASE("other files and other versions are refused with the reason") {
  CHECK_THROWS_WITH(parse("hello"), Contains("is no recording"));
  CHECK_THROWS_WITH(parse(""), Contains("is no recording"));
  std::string newer = joined(blocks());
  newer[8] = 2;
  CHECK_THROWS_WITH(parse(newer), Contains("of version 2, and this program reads version 1"));
  CHECK_THROWS_WITH(read("/nowhere/at/all"), Contains("/nowhere/at/all"));
  CHECK_FALSE(is_recording("/proc/self/exe"));
}
