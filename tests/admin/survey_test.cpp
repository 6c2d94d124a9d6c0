#include "weir/admin/detail/survey.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "weir/connection/connection_pair.hpp"
#include "weir/core/test_core.hpp"

using namespace weir;
using process::scoreboard;

TEST_CASE("connections are listed while somebody asks for them, and as many as there is room for") {
  scoreboard board;
  process::worker_score& row = *board.take();
  test_core core;
  std::deque<connection_pair> pairs;
  for (int i = 0; i < 200; ++i) pairs.emplace_back(*core);
  admin::survey looks(board, row);
  looks.step();
  CHECK(board.connections_of(row).load()->pid == 0);

  admin::survey::wish(board.pool());
  for (int i = 0; i < 20 && board.connections_of(row).load()->seen == 0; ++i) looks.step();
  const auto list = *board.connections_of(row).load();
  CHECK(list.pid == ::getpid());
  CHECK(list.seen == 400);
  CHECK(list.longest_count == process::connection_list::most);
  CHECK(list.busiest_count == 0);  // no TCP
  CHECK(list.longest[0].peer.is_unix());

  pairs.clear();
  for (int i = 0; i < 20 && board.connections_of(row).load()->seen != 0; ++i) looks.step();
  CHECK(board.connections_of(row).load()->longest_count == 0);
}

namespace {

// Each core has some descriptors.
void allow_many_descriptors() {
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

}  // namespace

TEST_CASE("cores that end while their connections are listed leave those of the others") {
  allow_many_descriptors();
  scoreboard board;
  process::worker_score& row = *board.take();
  test_core kept;  // the oldest core: it is listed last
  connection_pair of_kept(*kept);
  const settings s;
  std::deque<core> ending;
  std::vector<std::unique_ptr<connection_pair>> pairs;
  while (ending.size() < 300) {  // more than a step looks at
    core& c = ending.emplace_back(static_cast<unsigned>(ending.size()), std::nullopt, s, nullptr, nullptr,
                                  core_role{.opens_late = true});
    const core::entered here(c);
    if (ending.size() <= 20) pairs.push_back(std::make_unique<connection_pair>(c));
  }
  admin::survey looks(board, row);
  const auto look_until = [&](std::uint64_t count) {
    admin::survey::wish(board.pool());
    const auto seen = [&] { return board.connections_of(row).load()->seen; };
    for (int i = 0; i < 20 && seen() != count; ++i) looks.step();
    CHECK(seen() == count);
  };
  look_until(2 * pairs.size() + 2);
  looks.step();  // the first part of the next pass: it knows all cores
  ending.clear();
  look_until(2);
  for (int i = 0; i < 20 && board.connections_of(row).load()->longest_count != 2; ++i) looks.step();
  CHECK(board.connections_of(row).load()->longest_count == 2);
}
