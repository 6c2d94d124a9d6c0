#include "weir/process/detail/worker_table.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

#include <csignal>

#include "output.hpp"
#include "sockets.hpp"
#include "weir/process/detail/scoreboard.hpp"

using namespace weir;
using namespace weir::process;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;
using stage = worker::stage;
using progress = worker_table::progress;

namespace {

struct fixture {
  // A process that does nothing; the table kills it in the end.
  worker& add(unsigned index, unsigned generation, stage at = stage::serving) {
    lane way;
    way.index = index;
    way.score = board.take();
    child_process process([] {
      for (;;) ::pause();
      return 0;
    });
    table.add({std::move(way), std::move(process), generation, 1s});
    worker& made = *std::prev(table.end());
    made.at = at;
    made.takes = made.has_served = at == stage::serving;
    return made;
  }

  scoreboard board;
  worker_table table;
};

}  // namespace

TEST_CASE("the table knows which slots of a generation have a worker that does not leave") {
  fixture f;
  f.add(0, 1);
  f.add(1, 1, stage::leaving);
  f.add(1, 2, stage::starting);
  CHECK(f.table.has(1, 0));
  CHECK_FALSE(f.table.has(1, 1));
  CHECK(f.table.has(2, 1));
  CHECK(f.table.any_starting());
  const auto lanes = f.table.lanes(1, 3);
  REQUIRE(lanes.size() == 3);
  CHECK(lanes[0] != nullptr);
  CHECK(lanes[1] == nullptr);
  CHECK(lanes[2] == nullptr);
  CHECK(f.table.lanes(1, 0).empty());
}

TEST_CASE("a generation is being started until none of its workers is, and fails if none has served") {
  fixture f;
  CHECK(f.table.progress_of(2) == progress::failed);
  f.add(0, 1);
  worker& first = f.add(0, 2, stage::starting);
  worker& second = f.add(1, 2, stage::starting);
  CHECK(f.table.progress_of(2) == progress::starting);
  first.at = stage::leaving;
  CHECK(f.table.progress_of(2) == progress::starting);
  second.at = stage::leaving;
  CHECK(f.table.progress_of(2) == progress::failed);
  second.has_served = true;
  CHECK(f.table.progress_of(2) == progress::serves);
}

TEST_CASE("a worker that has not left in time is killed, once") {
  fixture f;
  const test::output error(2);
  const auto now = worker_table::clock::now();
  worker& late = f.add(0, 1, stage::leaving);
  f.add(1, 1);
  CHECK(f.table.next_deadline() == worker_table::clock::time_point::max());
  late.kill_at = now + 1s;
  CHECK(f.table.next_deadline() == now + 1s);
  f.table.kill_overdue(now);
  f.table.kill_overdue(now + 1s);
  CHECK(f.table.next_deadline() == worker_table::clock::time_point::max());
  REQUIRE(test::wait_readable(late.process.get()));
  CHECK(late.process.reap()->value == SIGKILL);
  CHECK_THAT(error.text(), Contains("worker 0 of generation 1 has not left in time"));
}

TEST_CASE("a worker that starts has a limit of its own, and the log names it") {
  fixture f;
  const test::output error(2);
  const auto now = worker_table::clock::now();
  worker& starting = f.add(0, 1, stage::starting);
  starting.kill_at = now;
  for (unsigned i = 0; i < 3 * worker::ticks_until_stuck; ++i) f.table.listen_for_beats(400ms);
  CHECK_FALSE(starting.is_passed_over());
  CHECK_FALSE(starting.process.reap());
  f.table.kill_overdue(now);
  REQUIRE(test::wait_readable(starting.process.get()));
  CHECK(starting.process.reap()->value == SIGKILL);
  CHECK_THAT(error.text(), Contains("has not served within processes.start_timeout"));
}

TEST_CASE("a held worker is passed over, and is no reason to pass over another") {
  fixture f;
  worker& held = f.add(0, 1);
  worker& other = f.add(1, 1);
  CHECK(f.table.any_attentive_beside(held, 1));
  held.is_held = true;
  CHECK(f.table.lanes(1, 2) == std::vector<lane*>{nullptr, &other});
  CHECK_FALSE(f.table.is_attended(1, 0));
  CHECK_FALSE(f.table.any_attentive_beside(other, 1));
}

TEST_CASE(
    "a worker whose beats stand still is reported, not counted as alive, and killed; one that leaves is "
    "not") {
  fixture f;
  const test::output error(2);
  worker& stuck = f.add(0, 1);
  worker& leaves = f.add(1, 1, stage::leaving);
  for (unsigned i = 0; i < worker_table::ticks_until_stuck; ++i) {
    CHECK(f.table.any_alive());
    CHECK((f.table.lanes(1, 1)[0] != nullptr) == !stuck.is_stuck());
    f.table.listen_for_beats(400ms);
  }
  CHECK_FALSE(f.table.any_alive());
  CHECK(f.table.lanes(1, 1)[0] == nullptr);  // it gets no connection meanwhile
  stuck.score->beats += 1;
  f.table.listen_for_beats(400ms);
  CHECK(f.table.any_alive());
  CHECK(f.table.lanes(1, 1)[0] != nullptr);
  for (unsigned i = 0; i <= worker_table::ticks_until_stuck; ++i) f.table.listen_for_beats(400ms);
  REQUIRE(test::wait_readable(stuck.process.get()));
  CHECK_THAT(error.text(), Contains("is stuck") && Contains("has been stuck for 400 ms and is killed"));
  CHECK_FALSE(leaves.process.reap());
}

TEST_CASE("a worker that is stopped is passed over until it is continued") {
  fixture f;
  worker& stopped = f.add(0, 1);
  f.add(1, 1);
  const auto look_until = [&](bool wanted) {
    return test::eventually([&] {
      f.table.look_for_stopped();
      return stopped.is_passed_over() == wanted;
    });
  };
  stopped.process.signal(SIGSTOP);
  REQUIRE(look_until(true));
  f.table.look_for_stopped();  // nothing has changed since
  CHECK(f.table.lanes(1, 2)[0] == nullptr);
  CHECK(f.table.lanes(1, 2)[1] != nullptr);
  CHECK(f.table.has(1, 0));
  CHECK_FALSE(f.table.is_attended(1, 0));
  CHECK(f.table.is_attended(1, 1));
  stopped.process.signal(SIGCONT);
  REQUIRE(look_until(false));
  CHECK(f.table.lanes(1, 2)[0] != nullptr);
  CHECK(f.table.is_attended(1, 0));
}

TEST_CASE("a worker that was taken out is in no list of the table any more") {
  fixture f;
  f.add(0, 1);
  auto gone = f.table.take_out(f.table.begin());
  CHECK(f.table.empty());
  CHECK(gone.front().index == 0);
}
