#include "weir/observe/detail/turn_ring.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <thread>

using namespace weir::observe;
using namespace std::chrono_literals;

namespace {

constexpr std::uintptr_t mine = 0x1000;
constexpr std::uintptr_t holder = 0x2000;
constexpr std::uintptr_t bystander = 0x3000;
constexpr std::uint64_t slow = 10'000'000;
constexpr std::uint64_t held = 50'000'000;

void last(std::uint64_t nanoseconds) {
  const std::uint64_t until = nanoseconds_now() + nanoseconds;
  while (nanoseconds_now() < until) continue;
}

// The loop sleeps, so that nothing was ready before.
void sleep_in(turn_ring& ring) {
  ring.begin(turn::waits);
  std::this_thread::sleep_for(2ms);
}

// Something is ready already; the thread is preempted meanwhile.
void look_in(turn_ring& ring) {
  ring.begin(turn::looks);
  std::this_thread::sleep_for(2ms);
}

const slow_request& only(const turn_ring& ring) {
  REQUIRE(ring.slow_written() == 1);
  return ring.slow_ones()[0];
}

}  // namespace

TEST_CASE("a request that waits is told which turn of others it has waited for") {
  turn_ring ring(65536, slow);
  sleep_in(ring);
  ring.begin(mine);
  const std::uint64_t began = nanoseconds_now();
  ring.begin(holder);
  last(held);
  ring.begin(bystander);
  look_in(ring);
  ring.begin(mine);
  ring.request_ended(nanoseconds_now() - began);
  const slow_request& r = only(ring);
  CHECK(r.whole);
  CHECK(r.took >= held);
  CHECK(r.waited >= held);
  CHECK(r.longest.what.chain == holder);
  CHECK(r.longest_share >= held);
  CHECK(r.longest_share <= r.waited);
  CHECK(r.others == 1);
}

TEST_CASE("what the loop did while the request was not ready is not held against it") {
  turn_ring ring(65536, slow);
  sleep_in(ring);
  ring.begin(mine);
  const std::uint64_t began = nanoseconds_now();
  ring.begin(holder);
  last(held);
  sleep_in(ring);  // it was not ready yet, or the loop would not sleep
  ring.begin(mine);
  ring.request_ended(nanoseconds_now() - began);
  CHECK(only(ring).waited == 0);
  CHECK(only(ring).longest.what.chain == 0);
}

TEST_CASE("a request that lay unread while the loop was held is slow, however soon it was answered") {
  turn_ring ring(65536, slow);
  sleep_in(ring);
  ring.begin(holder);
  last(held);
  look_in(ring);
  ring.begin(mine);
  ring.request_ended(0);
  const slow_request& r = only(ring);
  CHECK(r.unread >= held);
  CHECK(r.waited == 0);
  CHECK(r.longest.what.chain == holder);
}

TEST_CASE("a request that computes is told its own turns alone") {
  turn_ring ring(65536, slow);
  sleep_in(ring);
  ring.begin(mine);
  const std::uint64_t began = nanoseconds_now();
  last(held);
  ring.request_ended(nanoseconds_now() - began);
  CHECK(only(ring).own >= held);
  CHECK(only(ring).waited == 0);
}

TEST_CASE("requests that are not slow, and those of a ring that reports none, are not written down") {
  turn_ring off(65536, 0);
  off.begin(mine);
  off.request_ended(UINT32_MAX);
  CHECK(off.slow_written() == 0);
  turn_ring ring(65536, 3'600'000'000'000);
  ring.begin(mine);
  ring.request_ended(1000);
  CHECK(ring.slow_written() == 0);
}

TEST_CASE("a ring that has gone round keeps its long turns, and says that it does not reach back") {
  turn_ring ring(1, slow);
  sleep_in(ring);
  ring.begin(mine);
  const std::uint64_t began = nanoseconds_now();
  ring.begin(holder);
  last(held);
  for (std::size_t i = 0; i < 2 * ring.size(); ++i) ring.begin(bystander);
  ring.begin(mine);
  ring.request_ended(nanoseconds_now() - began);
  CHECK_FALSE(only(ring).whole);
  CHECK(ring.long_ones()[0].what.chain == holder);
  CHECK(ring.long_ones()[0].length() >= held);
}

TEST_CASE("a chain that another thread has left is told what it waited for since it was ready") {
  turn_ring ring(65536, slow, turn_ring::chains::move);
  sleep_in(ring);
  ring.begin(bystander);
  last(slow);  // before it was ready
  const std::uint64_t ready = nanoseconds_now();
  ring.begin(holder);
  last(held);
  sleep_in(ring);
  ring.take_over(ready);
  ring.begin(mine);
  ring.request_ended(0);
  const slow_request& r = only(ring);
  CHECK(r.whole);
  CHECK_FALSE(r.moved);
  CHECK(r.waited == 0);
  CHECK(r.unread >= held);
  CHECK(r.longest.what.chain == holder);
  CHECK(r.longest_share >= held);
  CHECK(r.longest_share <= r.unread);
}

TEST_CASE("of a request that began on another thread the turns on this one are told") {
  turn_ring ring(65536, slow, turn_ring::chains::move);
  sleep_in(ring);
  const std::uint64_t began = nanoseconds_now();
  ring.begin(holder);
  const std::uint64_t ready = nanoseconds_now();
  last(held);
  ring.take_over(ready);
  ring.begin(mine);
  ring.request_ended(nanoseconds_now() - began);
  const slow_request& r = only(ring);
  CHECK(r.whole);
  CHECK(r.moved);
  CHECK(r.unread == 0);
  CHECK(r.waited >= held);
  CHECK(r.own < held);
  CHECK(r.longest.what.chain == holder);
  CHECK(r.others == 0);
}
