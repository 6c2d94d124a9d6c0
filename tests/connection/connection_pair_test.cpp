#include "weir/connection/connection_pair.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <utility>

#include "loop.hpp"
#include "weir/base/error.hpp"
#include "weir/core/test_core.hpp"
#include "weir/core/within.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

task<> echo(connection client) {
  while (auto data = co_await client.receive()) co_await client.send(data);
}

task<> say(connection* c, std::string_view text) {
  co_await c->send(text);
  c->shutdown_send();
}

task<> listen(connection* c, std::string* heard) {
  while (auto data = co_await c->receive()) *heard += data.text();
}

}  // namespace

TEST_CASE("a handler is tested at the other end of a pair") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  const auto text = test::pattern(3'000'000);  // more than fits between them
  std::string answer;
  core->spawn(echo(std::move(ends.server)));
  core->spawn(say(&ends.client, text));
  core->spawn(listen(&ends.client, &answer));
  core.settle();
  CHECK(answer == text);
  CHECK(ends.client.end() == ending::peer_closed);
  CHECK(core.elapsed() == 0ms);
}

TEST_CASE("the ends of a pair are unix sockets without an idle timeout") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  CHECK(ends.client.peer().is_unix());
  CHECK(ends.server.peer().is_unix());
  core->spawn(echo(std::move(ends.server)));
  core.advance(24h);
  CHECK(ends.client.end() == ending::none);
  CHECK(core->local<connection_table>().all().size() == 2);
}

TEST_CASE("a deadline around its handler limits a whole connection, however lively it is") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  const auto limited = [](connection client) -> task<> {
    auto work = within(10min, echo(std::move(client)));
    co_await work;
  };
  const auto chatter = [](connection* c, int* answers) -> task<> {
    for (;; ++*answers) {
      co_await c->send("x");
      const auto answer = co_await c->receive();
      if (!answer) break;
      co_await sleep_for(1s);
    }
  };
  std::error_code error;
  int answers = 0;
  core->spawn(test::error_of(limited(std::move(ends.server)), &error));
  core->spawn(chatter(&ends.client, &answers));
  core.advance(10min - 1ms);
  CHECK(answers == 599);  // a second between one and the next
  CHECK_FALSE(error);
  core.advance(1s);
  CHECK(error == std::errc::timed_out);
  CHECK(ends.client.end() == ending::peer_closed);
}

TEST_CASE("closing one end is the end of the stream at the other, which stays open") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  std::string answer;
  core->spawn(listen(&ends.client, &answer));
  core.settle();
  ends.server.close();
  core.settle();
  CHECK_FALSE(ends.server.is_open());
  CHECK(ends.client.is_open());
  CHECK(ends.client.end() == ending::peer_closed);
}

TEST_CASE("a pair needs a core and two descriptors") {
  CHECK_THROWS_AS(connection_pair(), std::system_error);
  if (build::sanitized) return;  // which needs descriptors of its own to look at an exception
  test_core core(test::over_io_of_run());
  const test::no_descriptors none;
  try {
    const connection_pair ends;
    FAIL("no error");
  } catch (const std::system_error& e) {
    CHECK(e.code() == std::errc::too_many_files_open);
  }
}
