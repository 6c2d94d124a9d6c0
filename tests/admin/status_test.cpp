#include "weir/admin/detail/status.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

#include <system_error>

#include "weir/admin/detail/places.hpp"

using namespace weir;
using namespace weir::process;
using Catch::Matchers::Contains;

TEST_CASE("the state of a pool is a line for itself and one for each worker that there is") {
  scoreboard board;
  board.pool().model = model_kind::process_pool;
  board.pool().master = 77;
  board.pool().generation = 3;
  board.pool().reloads = 2;
  board.pool().restarts = 5;
  board.pool().parked = 9;
  worker_score& row = *board.take();
  row.now = worker_score::state::serving;
  row.index = 1;
  row.pid = 4242;
  row.generation = 3;
  row.connections = 11;
  row.accepted = 222;
  row.requests = 3333;
  const auto text = admin::status_table(board);
  CHECK_THAT(text, Contains("master 77: up ") && Contains("process-pool, epoll, accept shared, round-robin, "
                                                          "generation 3, reloads 2, restarts 5, parked 9"));
  for (const char* part : {"4242", "serving", " 11 ", " 222 ", " 3333 "}) CHECK_THAT(text, Contains(part));
  CHECK(std::count(text.begin(), text.end(), '\n') == 6);
}

TEST_CASE("what a thread has counted as ended is no longer open on the loop that began it") {
  using observe::figure;
  scoreboard board;
  worker_score& row = *board.take(model_kind::loop_with_workers);
  auto mine = board.ledger_of(row);
  (*mine.first().counted)[figure::accepted].add(5);
  (*mine.thread().counted)[figure::peer_closed].add(2);
  (*mine.thread().counted)[figure::closed].add(1);
  std::uint64_t open = 0;
  for (const admin::place& each : admin::places(board.ledger())) {
    CHECK(each.model == model_kind::loop_with_workers);
    open += each.open();
  }
  CHECK(open == 2);
}

TEST_CASE("a pool is seen from outside by its master's number, and only a pool is") {
  scoreboard board;
  board.pool().restarts = 5;
  scoreboard seen(::getpid());
  CHECK(seen.pool().restarts == 5);
  board.pool().restarts = 6;
  CHECK(seen.pool().restarts == 6);
  CHECK_THROWS_WITH(scoreboard(::getppid()),
                    Contains("is not the master of a pool, nor another server of weir"));
  CHECK_THROWS_AS(scoreboard(0x7fffffff), std::system_error);
}
