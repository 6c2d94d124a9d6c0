// The idle timeout: what counts as progress, and what any call after the end may do to it.
#include "weir/connection/connection.hpp"

#include <catch2/catch.hpp>

#include <string>

#include "loop.hpp"
#include "weir/connection/connection_pair.hpp"
#include "weir/connection/reader.hpp"
#include "weir/core/test_core.hpp"
#include "weir/task/scope.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

task<> wait_for_bytes(connection* c) {
  while (auto data = co_await c->receive()) {
  }
}

task<> send_now_and_then(connection* c, int times) {
  for (int i = 0; i < times; ++i) {
    co_await sleep_for(10s);
    const bool sent = co_await c->send("tick");
    CHECK(sent);
  }
}

}  // namespace

TEST_CASE("bytes that are sent keep a connection alive on which another coroutine waits for bytes") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  ends.server.set_idle_timeout(25s);
  core->spawn(wait_for_bytes(&ends.server));
  core->spawn(send_now_and_then(&ends.server, 20));
  core.advance(205s);
  CHECK(ends.server.end() == ending::none);
  core.advance(50s);
  CHECK(ends.server.end() == ending::idle);
}

TEST_CASE("bytes that come keep a connection alive on which another coroutine waits to send") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  ends.server.set_idle_timeout(25s);
  const std::string much(8 << 20, 'x');
  const auto send = [](connection* c, const std::string* text) -> task<> {
    const bool sent = co_await c->send(*text);
    CHECK_FALSE(sent);
  };
  core->spawn(send(&ends.server, &much));
  core->spawn(wait_for_bytes(&ends.server));
  core->spawn(send_now_and_then(&ends.client, 20));
  core.advance(205s);
  CHECK(ends.server.end() == ending::none);
  core.advance(50s);
  CHECK(ends.server.end() == ending::idle);
}

TEST_CASE("a reader that gets a message byte by byte is not idle between them") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  ends.server.set_idle_timeout(25s);
  std::string got;
  const auto read = [](connection* c, std::string* out) -> task<> {
    reader in(*c);
    const auto line = co_await in.until("\n");
    if (line) *out = *line;
  };
  const auto drip = [](connection* c) -> task<> {
    for (const char each : std::string("slowly\n")) {
      co_await sleep_for(20s);
      const bool sent = co_await c->send(std::string_view(&each, 1));
      CHECK(sent);
    }
  };
  core->spawn(read(&ends.server, &got));
  core->spawn(drip(&ends.client));
  core.advance(150s);
  CHECK(got == "slowly");
}

TEST_CASE("after each end no call arms the idle timer again") {
  const auto ends_with = [](void (*end)(connection&), const char* name) {
    CAPTURE(name);
    test_core core(test::over_io_of_run());
    {
      connection_pair ends;
      ends.server.set_idle_timeout(1h);
      end(ends.server);
      ends.server.set_idle_timeout(10ms);
      ends.server.set_idle_timeout(1h);
      ends.client.close();
    }
    core.settle();
    CHECK(core->local<connection_table>().all().empty());
    core.advance(2h);
    CHECK_FALSE(core->timers().next());
  };
  ends_with([](connection& c) { c.close(); }, "close");
  ends_with([](connection& c) { c.abort(); }, "abort");
  ends_with([](connection& c) { ::close(c.release()); }, "release");
}

TEST_CASE("an idle timeout of many weeks is neither shortened nor lost") {
  test_core core(test::over_io_of_run());
  connection_pair ends;
  const auto forty_days = std::chrono::hours(40 * 24);
  ends.server.set_idle_timeout(forty_days);
  core->spawn(wait_for_bytes(&ends.server));
  core.settle();
  core.advance(forty_days - 1s);
  CHECK(ends.server.end() == ending::none);
  core.advance(2s);
  CHECK(ends.server.end() == ending::idle);
  ends.client.set_idle_timeout(std::chrono::milliseconds::max());
  core->spawn(wait_for_bytes(&ends.client));
  core.settle();
}
