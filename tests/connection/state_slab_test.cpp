#include "weir/connection/detail/state_slab.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "loop.hpp"
#include "weir/connection/connection.hpp"
#include "weir/connection/detail/connection_table.hpp"

using namespace weir;

namespace {

// Connections on pipes' ends are enough: nothing is sent.
connection opened(test::loop& l) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  ::close(ends[1]);
  connection_state& made = l.table().open(ends[0], {});
  made.begin();
  return connection(made);
}

constexpr std::size_t many = 3 * state_slab::most + 5;

}  // namespace

TEST_CASE("a table finds each of its connections once, over several slabs and with gaps") {
  test::loop l;
  std::vector<connection> held;
  for (std::size_t i = 0; i < std::min<std::size_t>(many, 400); ++i) held.push_back(opened(l));
  std::set<connection_state*> expected;
  for (const connection& c : held) expected.insert(&c.state());
  CHECK(expected.size() == held.size());
  const auto found = [&] {
    std::set<connection_state*> all;
    for (connection_state* c : l.table().all()) CHECK(all.insert(c).second);
    CHECK(all.size() == l.table().all().size());
    return all;
  };
  CHECK(found() == expected);
  for (std::size_t i = 0; i < held.size(); ++i)
    if (i % 3 != 0) {
      expected.erase(&held[i].state());
      held[i] = connection();
    }
  l.run(test::rounds());
  CHECK(found() == expected);
  for (auto& c : held)
    if (!c.is_open()) c = opened(l);
  CHECK(found().size() == held.size());
  held.clear();
  l.run(test::rounds());
  CHECK(found().empty());
}

TEST_CASE("each connection finds its own core, of several") {
  test::loop first;
  test::loop second;
  const connection a = opened(first);
  const connection b = opened(second);
  CHECK(&a.state().home_core() == &first.core());
  CHECK(&b.state().home_core() == &second.core());
}

TEST_CASE("handles that outlive their core free its slabs, from several threads at a time") {
  for (int round = 0; round < 20; ++round) {
    std::vector<connection> kept;
    {
      test::loop l;
      for (int i = 0; i < 64; ++i) kept.push_back(opened(l));
      kept.erase(kept.begin());
      l.destroy();
    }
    std::vector<std::thread> threads;
    for (std::size_t part = 0; part < 3; ++part)
      threads.emplace_back([&kept, part] {
        for (std::size_t i = part; i < kept.size(); i += 3) kept[i] = connection();
      });
    for (auto& t : threads) t.join();
  }
}
