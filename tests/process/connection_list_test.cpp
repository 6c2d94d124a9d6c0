#include "weir/process/detail/connection_list.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <thread>

using namespace weir::process;

TEST_CASE("a list keeps the first ones of all in order, whatever order they come in") {
  connection_list list;
  const auto before = [](const listed_connection& a, const listed_connection& b) {
    return a.quiet_ms > b.quiet_ms;
  };
  for (unsigned i = 0; i < 100; ++i) {
    listed_connection c;
    c.quiet_ms = i * 37 % 100;
    connection_list::insert(list.longest, list.longest_count, c, before);
    CHECK(list.longest_count == std::min<std::size_t>(i + 1, connection_list::most));
  }
  for (std::size_t i = 0; i < connection_list::most; ++i) CHECK(list.longest[i].quiet_ms == 99 - i);
}

TEST_CASE("a reader has a whole value or none, while it is written again and again") {
  struct words {
    std::array<std::uint64_t, 50> all;
    char more;
  };
  const auto shared = std::make_unique<published<words>>();
  REQUIRE(shared->load());
  std::atomic<bool> over = false;
  std::thread writer([&] {
    words w{};
    while (!over) {
      for (auto& each : w.all) ++each;
      shared->store(w);
    }
  });
  for (int seen = 0; seen < 1000;) {
    const auto now = shared->load();
    if (!now) continue;
    ++seen;
    for (const auto each : now->all)
      if (each != now->all[0]) FAIL("torn");
  }
  over = true;
  writer.join();
  CHECK(shared->load());
}
