// Handles that outlive the core of their connection.
#include "weir/connection/connection.hpp"

#include <catch2/catch.hpp>

#include <optional>
#include <string>

#include "loop.hpp"
#include "weir/connection/connection_pair.hpp"
#include "weir/connection/outbox.hpp"
#include "weir/connection/reader.hpp"
#include "weir/connection/writer.hpp"
#include "weir/core/test_core.hpp"

using namespace weir;
using namespace std::chrono_literals;

TEST_CASE("a connection whose core is gone is closed, and every call says so") {
  connection kept;
  permit_pool permits(1);
  {
    test::loop l;
    test::half h(l, test::tcp_pair());
    const auto keep = [](connection c, connection* out) -> task<> {
      *out = std::move(c);
      co_await sleep_for(1h);
    };
    auto& state = h.here.state();
    state.serve(keep(std::move(h.here), &kept), permits.try_acquire());
    l.run(test::rounds());
    CHECK(kept.is_open());
    l.destroy();
    CHECK(permits.in_use() == 0);
    char byte;
    CHECK(::recv(h.there.get(), &byte, 1, 0) <= 0);
  }
  CHECK_FALSE(kept.is_open());
  CHECK(kept.end() == ending::closed);
  CHECK(kept.native_handle() == -1);
  CHECK(kept.release() == -1);
  kept.set_idle_timeout(1s);
  kept.close();
  kept.abort();
  kept.shutdown_send();

  test_core another(test::over_io_of_run());
  bool done = false;
  const auto use = [](connection* c, bool* out) -> task<> {
    const auto data = co_await c->receive();
    CHECK_FALSE(data);
    const bool sent = co_await c->send("x");
    CHECK_FALSE(sent);
    std::byte buffer[4];
    const auto n = co_await c->read_some(buffer);
    CHECK(n == 0);
    reader in(*c);
    const auto line = co_await in.until("\n");
    CHECK_FALSE(line);
    writer w(*c);
    w.write("reply");
    const bool flushed = co_await w.flush();
    CHECK_FALSE(flushed);
    *out = true;
  };
  another->spawn(use(&kept, &done));
  another.settle();
  CHECK(done);
}

TEST_CASE("a handle may outlive its core, idle or closed, and be destroyed on any thread") {
  std::vector<connection> kept(3);
  {
    test_core core(test::over_io_of_run());
    connection_pair first;
    connection_pair second;
    kept[0] = std::move(first.server);
    kept[1] = std::move(second.server);
    kept[1].close();
    kept[2] = std::move(first.client);
  }
  std::jthread([&] { kept.clear(); }).join();
}
