#include "weir/io/detail/timer_queue.hpp"

#include <catch2/catch.hpp>

#include <vector>

using namespace weir::io;
using namespace std::chrono_literals;
using clock_type = timer_queue::clock;

namespace {

struct noted : timer {
  explicit noted(std::vector<noted*>* o) : order(o) {
    fire = [](timer& t) noexcept {
      auto& self = static_cast<noted&>(t);
      self.fired_at = clock_type::now();
      self.order->push_back(&self);
    };
  }
  std::vector<noted*>* order;
  clock_type::time_point fired_at;
};

// Runs until that many timers have fired.
void run_until(asio::io_context& context, const std::vector<noted*>& order, std::size_t count) {
  const auto end = clock_type::now() + 20s;
  while (order.size() < count && clock_type::now() < end) context.run_one_until(end);
  REQUIRE(order.size() == count);
}

}  // namespace

TEST_CASE("timers fire in the order of their deadlines and never early") {
  asio::io_context context;
  timer_queue timers(context);
  std::vector<noted*> order;
  noted slow(&order);
  noted fast(&order);
  noted medium(&order);
  const auto start = clock_type::now();
  timers.arm(slow, 30ms);
  timers.arm(fast, 5ms);  // the queue must wake earlier than it meant to
  timers.arm(medium, 15ms);
  run_until(context, order, 3);
  CHECK(order == std::vector{&fast, &medium, &slow});
  CHECK(fast.fired_at - start >= 5ms);
  CHECK(medium.fired_at - start >= 15ms);
  CHECK(slow.fired_at - start >= 30ms);
}

TEST_CASE("a wait of zero or less fires at the loop's next turn, not within arm") {
  asio::io_context context;
  timer_queue timers(context);
  std::vector<noted*> order;
  noted zero(&order);
  noted negative(&order);
  timers.arm(zero, 0ms);
  timers.arm(negative, -1h);
  CHECK(order.empty());
  run_until(context, order, 2);
}

TEST_CASE("a disarmed timer does not fire, a moved one once") {
  asio::io_context context;
  timer_queue timers(context);
  std::vector<noted*> order;
  noted dropped(&order);
  noted moved(&order);
  noted last(&order);
  const auto start = clock_type::now();
  timers.arm(dropped, 2ms);
  timers.arm(moved, 1h);
  timers.arm(moved, 10ms);
  timers.arm(last, 20ms);
  timers.disarm(dropped);
  run_until(context, order, 2);
  CHECK(order == std::vector{&moved, &last});
  CHECK(moved.fired_at - start >= 10ms);
}

TEST_CASE("a timer may be armed for centuries") {
  asio::io_context context;
  timer_queue timers(context);
  std::vector<noted*> order;
  noted never(&order);
  noted soon(&order);
  timers.arm(never, clock_type::duration::max());
  timers.arm(soon, 1ms);
  run_until(context, order, 1);
  CHECK(order.front() == &soon);
  CHECK(never.armed());
  timers.disarm(never);
}

TEST_CASE("a wait in ticks is rounded up and saturates") {
  CHECK(ticks(1ms) == 1);
  CHECK(ticks(1500us) == 2);
  CHECK(ticks(-1s) == 0);
  CHECK(ticks(40 * 24h) == 3'456'000'000);
  CHECK(ticks(std::chrono::hours::max()) < UINT64_MAX / 2);
}

TEST_CASE("a timer that fires may arm itself again") {
  asio::io_context context;
  timer_queue timers(context);
  struct repeated : timer {
    timer_queue* queue = nullptr;
    int fired = 0;
  } t;
  t.queue = &timers;
  t.fire = [](timer& at) noexcept {
    auto& self = static_cast<repeated&>(at);
    if (++self.fired < 5) self.queue->arm(self, 1ms);
  };
  timers.arm(t, 1ms);
  const auto end = clock_type::now() + 20s;
  while (t.fired < 5 && clock_type::now() < end) context.run_one_until(end);
  CHECK(t.fired == 5);
}

TEST_CASE("a timer that fires and arms a late one does not hold up those that are due before it") {
  asio::io_context context;
  timer_queue timers(context);
  std::vector<noted*> order;
  noted second(&order);
  noted late(&order);
  struct arming : timer {
    timer_queue* queue = nullptr;
    noted* other = nullptr;
  } first;
  first.queue = &timers;
  first.other = &late;
  first.fire = [](timer& at) noexcept {
    auto& self = static_cast<arming&>(at);
    self.queue->arm(*self.other, 1h);
  };
  // Both lie in one slot of the second level, which is dealt out when the first fires.
  const std::uint64_t begins = (timers.now() / 64 + 2) * 64;
  timers.arm_at(second, begins + 20);
  timers.arm_at(first, begins);
  run_until(context, order, 1);
  CHECK(order.front() == &second);
  timers.disarm(late);
}
