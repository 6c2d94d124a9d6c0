// A sanitizer has an operator new of its own, and leaves this file out.
#include <catch2/catch.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>

#include "filled_scoreboard.hpp"
#include "weir/admin/detail/metrics.hpp"

using namespace weir;

namespace {

std::size_t allocations = 0;

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
