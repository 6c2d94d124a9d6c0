#include "weir/observe/detail/ledger.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <thread>

using namespace weir::observe;

namespace {

std::uint64_t sum_of(const ledger& all, figure f) {
  std::uint64_t sum = 0;
  for (const block& b : all.used()) sum += b.counted[f].read();
  for (const thread_block& b : all.used_threads()) sum += b.counted[f].read();
  return sum;
}

}  // namespace

TEST_CASE("what a loop has counted stays when it has ended, and its levels do not") {
  const auto all = std::make_unique<ledger>();
  for (int life = 1; life <= 5; ++life) {
    process_ledger mine(*all, 3, 1);
    const recorder second = mine.loop(1);
    const recorder thread = mine.thread();
    (*mine.first().counted)[figure::received_bytes].add(7);
    (*second.counted)[figure::received_bytes].add(10);
    (*thread.counted)[figure::received_bytes].add(100);
    (*second.counted)[figure::timers].set(5);
    of(*second.measured, measure::turn).record(1000);
    CHECK(sum_of(*all, figure::timers) == 5);
    all->retire(3);
    CHECK(sum_of(*all, figure::received_bytes) == static_cast<std::uint64_t>(life) * 117);
    CHECK(sum_of(*all, figure::timers) == 0);
    std::uint64_t measured = 0;
    for (const block& b : all->used()) measured += b.measured[0].sum.read();
    CHECK(measured == static_cast<std::uint64_t>(life) * 1000);
  }
  CHECK(all->used().size() == 2);  // the next loop of a place goes on where the last one has ended
  CHECK(all->used_threads().size() == 1);
}

TEST_CASE("what a worker has counted in one model is kept apart from the next one") {
  const auto all = std::make_unique<ledger>();
  for (const std::uint8_t model : {std::uint8_t{2}, std::uint8_t{4}, std::uint8_t{2}}) {
    process_ledger mine(*all, 3, 1, model);
    (*mine.first().counted)[figure::received_bytes].add(7);
    (*mine.thread().counted)[figure::received_bytes].add(100);
    all->retire(3);
  }
  CHECK(all->used().size() == 2);
  CHECK(all->used_threads().size() == 2);
  std::uint64_t of_second = 0;
  for (const block& b : all->used())
    if (b.whose.load().model == 4) of_second += b.counted[figure::received_bytes].read();
  CHECK(of_second == 7);
  CHECK(sum_of(*all, figure::received_bytes) == 321);
}

TEST_CASE("one worker's end leaves the figures of the others alone") {
  const auto all = std::make_unique<ledger>();
  process_ledger one(*all, 0, 0);
  process_ledger other(*all, 1, 1);
  (*other.first().counted)[figure::timers].set(4);
  all->retire(0);
  CHECK(sum_of(*all, figure::timers) == 4);
}

TEST_CASE("a sum never shrinks while loops end and begin") {
  const auto all = std::make_unique<ledger>();
  std::atomic<bool> ends{false};
  std::thread writer([&] {
    for (std::uint16_t life = 0; life < 2000; ++life) {
      const auto row = static_cast<std::uint16_t>(life % 4);
      process_ledger mine(*all, row, 0);
      (*mine.first().counted)[figure::requests].add(1);
      all->retire(row);
    }
    ends = true;
  });
  std::uint64_t last = 0;
  bool grows = true;
  while (!ends) {
    const auto now = sum_of(*all, figure::requests);
    grows = grows && now >= last;
    last = now;
  }
  writer.join();
  CHECK(grows);
  CHECK(sum_of(*all, figure::requests) == 2000);
}

TEST_CASE("a full ledger gives no block") {
  const auto all = std::make_unique<ledger>();
  for (std::size_t i = 0; i < ledger::capacity; ++i)
    REQUIRE(all->take({block::owner::state::live, 0, 0, static_cast<std::uint16_t>(i)}) != nullptr);
  CHECK(all->take({block::owner::state::live, 0, 0, 0}) == nullptr);
  process_ledger mine(*all, 1, 1);
  (*mine.first().counted)[figure::requests].add(1);
  CHECK(mine.loop(1).counted == nullptr);
  CHECK((*mine.loop(0).counted)[figure::requests].read() == 1);
}
