#include "weir/process/detail/outgoing_messages.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace weir::process;
using kind = descriptor_channel::received::kind;
using sent = descriptor_channel::sent;

namespace {

// A channel with no room left, and how many messages are in it.
int fill(descriptor_channel& channel) {
  int count = 0;
  while (channel.send({message::kind::notice, 0}) == sent::yes) ++count;
  return count;
}

std::vector<message> read(descriptor_channel& channel) {
  std::vector<message> out;
  for (auto got = channel.receive(); got.what == kind::taken; got = channel.receive())
    out.push_back(got.content);
  return out;
}

}  // namespace

TEST_CASE("a message that the channel can take is sent at once") {
  auto ends = descriptor_channel::make();
  outgoing_messages out;
  CHECK(out.send(ends.first, {message::kind::serving, 7}) == sent::yes);
  CHECK(out.empty());
  CHECK(read(ends.second).size() == 1);
}

TEST_CASE("messages that a full channel cannot take are sent in order when it has room") {
  auto ends = descriptor_channel::make();
  outgoing_messages out;
  fill(ends.first);
  CHECK(out.send(ends.first, {message::kind::answered, 1}) == sent::full);
  CHECK(out.send(ends.first, {message::kind::refused, 2}) == sent::full);
  CHECK_FALSE(out.flush(ends.first));
  CHECK_FALSE(out.empty());
  read(ends.second);
  CHECK(out.send(ends.first, {message::kind::drain, 3}) == sent::yes);  // behind the others
  CHECK(out.empty());
  const auto got = read(ends.second);
  REQUIRE(got.size() == 3);
  for (std::uint32_t i = 0; i < 3; ++i) CHECK(got[i].number == i + 1);
}

TEST_CASE("messages of what is placed are added up, and none is lost") {
  auto ends = descriptor_channel::make();
  outgoing_messages out;
  fill(ends.first);
  for (int i = 0; i < 1000; ++i) out.send(ends.first, {message::kind::placed, 1});
  out.send(ends.first, {message::kind::drain, 0});
  out.send(ends.first, {message::kind::placed, 1});
  read(ends.second);
  CHECK(out.flush(ends.first));
  const auto got = read(ends.second);
  REQUIRE(got.size() == 3);
  CHECK(got[0].number == 1000);
  CHECK(got[1].what == message::kind::drain);
  CHECK(got[2].number == 1);
}

TEST_CASE("an acknowledgement replaces the one before it, and never one before another message") {
  auto ends = descriptor_channel::make();
  outgoing_messages out;
  fill(ends.first);
  for (std::uint32_t i = 1; i <= 1000; ++i) out.send(ends.first, {message::kind::taken, i});
  out.send(ends.first, {message::kind::refused, 1001});
  out.send(ends.first, {message::kind::taken, 1002});
  out.send(ends.first, {message::kind::leaving, 0});
  out.send(ends.first, {message::kind::leaving, 0});
  read(ends.second);
  CHECK(out.flush(ends.first));
  const auto got = read(ends.second);
  REQUIRE(got.size() == 4);
  CHECK(got[0].number == 1000);
  CHECK(got[1].number == 1001);
  CHECK(got[2].number == 1002);
  CHECK(got[3].what == message::kind::leaving);
}

TEST_CASE("nothing is kept for a channel whose other end has closed") {
  auto ends = descriptor_channel::make();
  outgoing_messages out;
  fill(ends.first);
  CHECK(out.send(ends.first, {message::kind::answered, 1}) == sent::full);
  ends.second.close();
  CHECK(out.send(ends.first, {message::kind::answered, 2}) == sent::gone);
  CHECK(out.empty());
}
