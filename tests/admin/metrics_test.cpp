#include "weir/admin/detail/metrics.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

using namespace weir;
using Catch::Matchers::Contains;
using observe::figure;
using observe::measure;

namespace {

std::size_t allocations = 0;

// What `workers` with two loops each have counted.
void fill(process::scoreboard& board, unsigned workers) {
  for (unsigned w = 0; w < workers; ++w) {
    process::worker_score& row = *board.take();
    row.index = w;
    row.now = process::worker_score::state::serving;
    observe::process_ledger ledger = board.ledger_of(row);
    for (unsigned loop = 0; loop < 2; ++loop) {
      const observe::recorder to = ledger.loop(loop);
      (*to.counted)[figure::tls_resumed].add(w + loop);
      (*to.counted)[figure::received_bytes].add(1'000'000'000);
      for (std::uint64_t ns = 1; ns < 1'000'000'000; ns += 1 + ns / 7)
        for (const measure m : {measure::turn, measure::lag, measure::request})
          of(*to.measured, m).record(ns);
    }
  }
}

std::string metrics(process::scoreboard& board) {
  return admin::metrics_of(board, observe::series(), admin::exposition::dialect::openmetrics);
}

std::size_t allocations_for(process::scoreboard& board) {
  const std::size_t before = allocations;
  static_cast<void>(metrics(board));
  return allocations - before;
}

}  // namespace

// Every allocation of this program.
void* operator new(std::size_t size) {
  ++allocations;
  if (void* const at = std::malloc(size)) return at;
  throw std::bad_alloc();
}
void operator delete(void* at) noexcept { std::free(at); }
void operator delete(void* at, std::size_t) noexcept { std::free(at); }

TEST_CASE("each worker and loop has its figures, by result, cause and reason") {
  process::scoreboard board;
  fill(board, 2);
  board.pool().placement_drifts = 3;
  const std::string text = metrics(board);
  CHECK_THAT(text, Contains("weir_tls_handshakes_total{worker=\"1\",core=\"1\",model=\"loop-per-core\","
                            "result=\"resumed\"} 2\n"));
  CHECK_THAT(
      text,
      Contains(
          "weir_connections_refused_total{worker=\"0\",model=\"loop-per-core\",cause=\"proxy_header\"} 0\n"));
  CHECK_THAT(text,
             Contains("weir_connections_evicted_total{worker=\"0\",core=\"0\",model=\"loop-per-core\"} 0\n"));
  CHECK_THAT(text, Contains("weir_file_lost_lines_total{worker=\"1\",model=\"loop-per-core\"} 0\n"));
  CHECK_THAT(text, Contains("weir_placement_drifts 3\n"));
}

TEST_CASE("the figures of more workers take no more memory than their text") {
  process::scoreboard one;
  fill(one, 1);
  process::scoreboard eight;
  fill(eight, 8);
  // The text is appended to one string, whose size doubles.
  CHECK(allocations_for(eight) <= allocations_for(one) + 8);
}

TEST_CASE("how long the figures of 8 workers with two loops take", "[.][figure]") {
  process::scoreboard board;
  fill(board, 8);
  constexpr int rounds = 200;
  std::size_t bytes = 0;
  const auto before = std::chrono::steady_clock::now();
  for (int i = 0; i < rounds; ++i) bytes = metrics(board).size();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - before;
  std::printf("/metrics of 8 workers with 2 loops: %.2f ms, %zu bytes, %zu allocations\n",
              took.count() / rounds, bytes, allocations_for(board));
}
