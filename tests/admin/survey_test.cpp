#include "weir/admin/detail/survey.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

#include <deque>

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
