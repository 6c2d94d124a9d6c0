#include "weir/admin/detail/status.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

#include <string>
#include <system_error>
#include <vector>

#include "weir/admin/detail/places.hpp"

using namespace weir;
using namespace weir::process;
using Catch::Matchers::Contains;
using Catch::Matchers::EndsWith;

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

TEST_CASE(
    "as JSON it has all addresses, workers and loops, and the buckets of each histogram that hold "
    "something") {
  scoreboard board;
  worker_score& row = *board.take(model_kind::single_loop);
  row.now = worker_score::state::draining;
  row.pid = 4242;
  auto ledger = board.ledger_of(row);
  of(*ledger.first().measured, observe::measure::request).record(31, 3);
  (*ledger.thread().counted)[observe::figure::accepted].add(5);
  const std::vector<std::string> listen{"127.0.0.1:80", "unix:/a \"b\""};
  const auto text = admin::status_json(board, listen);
  CHECK_THAT(text, Contains(R"("listen":["127.0.0.1:80","unix:/a \"b\""])"));
  CHECK_THAT(text, Contains(R"("workers":[{"worker":0,"pid":4242,"model":"single-loop",)") &&
                       Contains(R"("generation":0,"state":"draining",)"));
  CHECK_THAT(
      text,
      Contains(R"("loops":[{"worker":0,"core":"0","model":"single-loop","live":1,"open":0,"accepted":0,)"));
  CHECK_THAT(
      text,
      Contains(R"({"worker":0,"core":"threads","model":"single-loop","live":1,"open":5,"accepted":5,)"));
  CHECK_THAT(text,
             Contains(R"("request_seconds":{"count":3,"sum":9.3e-08,)") && Contains(R"("buckets":[31,3]})"));
  CHECK_THAT(text, Contains(R"("accept":null)") && EndsWith("\"buckets_per_octave\":16}\n"));
}

TEST_CASE("lists of connections are told of workers that are there") {
  scoreboard board;
  worker_score& row = *board.take(model_kind::single_loop);
  row.pid = 4242;
  CHECK(admin::connections_json(board) == "{\"kept\":10,\"processes\":[]}\n");
  connection_list list;
  list.pid = 4242;
  list.seen = 7;
  list.longest_count = 1;
  list.longest[0].quiet_ms = 1500;
  list.longest[0].age_ms = 90'000;
  board.connections_of(row).store(list);
  const auto text = admin::connections_json(board);
  CHECK_THAT(text, Contains(R"("pid":4242,"age_seconds":)") &&
                       Contains(R"("seen":7,"longest":[{"peer":"unknown","fd":-1,)"));
  CHECK_THAT(
      text,
      Contains(
          R"("core":"0","runs":false,"open_seconds":90,"quiet_seconds":1.5,"bytes_per_second":0}],"busiest":[]})"));
  row.pid = 4243;  // another process now
  CHECK_THAT(admin::connections_json(board), Contains(R"("processes":[])"));
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
