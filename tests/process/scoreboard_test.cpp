#include "weir/process/detail/scoreboard.hpp"

#include <catch2/catch.hpp>

#include <memory>

#include "weir/process/detail/child_process.hpp"

using namespace weir::process;

TEST_CASE("what a child writes is read by its master, also after its end") {
  scoreboard board;
  worker_score* const row = board.take();
  REQUIRE(row != nullptr);
  auto child = std::make_unique<child_process>([row] {
    row->accepted = 42;
    return 0;
  });
  while (!child->reap()) {
  }
  CHECK(row->accepted == 42);
}

TEST_CASE("a row is taken once, and clean when it is taken again") {
  scoreboard board;
  worker_score* const first = board.take();
  REQUIRE(first != nullptr);
  CHECK(board.take() != first);
  first->accepted = 1;
  first->beats = 2;
  board.give_back(*first);
  CHECK(board.take() == first);
  CHECK(first->accepted == 0);
  CHECK(first->beats == 0);
}

TEST_CASE("the least load is that of another worker that serves") {
  scoreboard board;
  worker_score& self = *board.take();
  CHECK(board.least_beside(self, &worker_score::load) == UINT32_MAX);
  worker_score& starting = *board.take();
  worker_score& busy = *board.take();
  worker_score& idle = *board.take();
  self.now = busy.now = idle.now = worker_score::state::serving;
  busy.load = 9;
  idle.load = 4;
  CHECK(board.least_beside(self, &worker_score::load) == 4);
  CHECK(board.least_beside(idle, &worker_score::load) == 0);
  self.load = 30;
  CHECK(board.least_beside(idle, &worker_score::load) == 9);
  idle.now = worker_score::state::draining;
  starting.now = worker_score::state::serving;
  CHECK(board.least_beside(self, &worker_score::load) == 0);
  board.give_back(starting);
  CHECK(board.least_beside(self, &worker_score::load) == 9);
}

TEST_CASE("a full scoreboard has no row") {
  scoreboard board;
  for (std::size_t i = 0; i < scoreboard::capacity; ++i) REQUIRE(board.take() != nullptr);
  CHECK(board.take() == nullptr);
}
