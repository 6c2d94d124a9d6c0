#include "weir/io/detail/timer_wheel.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

using namespace weir::io;

namespace {

// A timer that notes when it fired.
struct noted : timer {
  explicit noted(timer_wheel* w) : wheel(w) {
    fire = [](timer& t) noexcept {
      auto& self = static_cast<noted&>(t);
      self.fired.push_back(self.wheel->now());
    };
  }
  timer_wheel* wheel;
  std::vector<std::uint64_t> fired;
};

}  // namespace

TEST_CASE("a timer fires when time reaches its tick, not before and not twice") {
  timer_wheel wheel(1000);
  noted t(&wheel);
  wheel.arm(t, 1010);
  CHECK(t.armed());
  wheel.advance(1009);
  CHECK(t.fired.empty());
  wheel.advance(1010);
  CHECK(t.fired == std::vector<std::uint64_t>{1010});
  CHECK_FALSE(t.armed());
  wheel.advance(5000);
  CHECK(t.fired.size() == 1);
}

TEST_CASE("a timer on every level fires at its tick, when time goes step by step and when it leaps") {
  for (const std::uint64_t start :
       {0ULL, 1ULL, 63ULL, 64ULL, 4095ULL, 123456789ULL, (1ULL << 36) - 1, 1ULL << 41}) {
    for (unsigned shift = 0; shift < 42; ++shift) {
      for (const std::uint64_t distance : {1ULL << shift, (1ULL << shift) + 1, (2ULL << shift) - 1}) {
        CAPTURE(start, distance);
        timer_wheel wheel(start);
        noted steps(&wheel);
        wheel.arm(steps, start + distance);
        while (steps.armed()) {
          const auto next = wheel.next();
          REQUIRE(next);
          REQUIRE(*next > wheel.now());
          REQUIRE(*next <= start + distance);
          wheel.advance(*next);
        }
        CHECK(steps.fired == std::vector{start + distance});
        CHECK(wheel.now() == start + distance);

        timer_wheel leaping(start);
        noted leap(&leaping);
        leaping.arm(leap, start + distance);
        leaping.advance(start + distance - 1);
        CHECK(leap.fired.empty());
        leaping.advance(start + distance + 1'000'000);
        CHECK(leap.fired == std::vector{start + distance});
      }
    }
  }
}

TEST_CASE("an expiry in the past fires at the next tick") {
  timer_wheel wheel(1000);
  noted t(&wheel);
  wheel.arm(t, 3);
  CHECK(wheel.next() == 1001u);
  wheel.advance(1001);
  CHECK(t.fired.size() == 1);
}

TEST_CASE("arming an armed timer moves it, and a disarmed one does not fire") {
  timer_wheel wheel(0);
  noted moved(&wheel);
  noted dropped(&wheel);
  wheel.arm(moved, 10);
  wheel.arm(dropped, 10);
  wheel.arm(moved, 100);
  wheel.disarm(dropped);
  wheel.disarm(dropped);
  CHECK_FALSE(dropped.armed());
  wheel.advance(99);
  CHECK(moved.fired.empty());
  wheel.advance(200);
  CHECK(moved.fired == std::vector<std::uint64_t>{100});
  CHECK(dropped.fired.empty());
}

TEST_CASE("timers fire in the order of their ticks, whatever the order in which they were armed") {
  timer_wheel wheel(7);
  std::vector<std::uint64_t> seen;
  struct ordered : timer {
    std::vector<std::uint64_t>* out = nullptr;
  };
  std::vector<ordered> timers(200);
  std::mt19937 random(4);
  for (auto& t : timers) {
    t.out = &seen;
    t.fire = [](timer& at) noexcept { static_cast<ordered&>(at).out->push_back(at.expiry); };
    wheel.arm(t, 8 + random() % 100'000);
  }
  wheel.advance(200'000);
  REQUIRE(seen.size() == timers.size());
  CHECK(std::is_sorted(seen.begin(), seen.end()));
  CHECK_FALSE(wheel.next());
}

TEST_CASE("a timer that fires may arm itself again and disarm its neighbour of the same tick") {
  timer_wheel wheel(0);
  struct busy : timer {
    timer_wheel* wheel = nullptr;
    busy* other = nullptr;
    int fired = 0;
  };
  busy a;
  busy b;
  for (busy* t : {&a, &b}) {
    t->wheel = &wheel;
    t->other = t == &a ? &b : &a;
    t->fire = [](timer& at) noexcept {
      auto& self = static_cast<busy&>(at);
      ++self.fired;
      self.wheel->disarm(*self.other);
      if (self.fired < 3) self.wheel->arm(self, self.expiry + 64);
    };
    wheel.arm(*t, 64);
  }
  wheel.advance(10'000);
  CHECK(a.fired + b.fired == 3);
  CHECK(std::min(a.fired, b.fired) == 0);
  CHECK_FALSE(a.armed());
  CHECK_FALSE(b.armed());
}

TEST_CASE("ten thousand timers, armed, moved, dropped and fired at random, do what a sorted map does") {
  std::mt19937_64 random(20240607);
  constexpr std::size_t count = 10'000;
  std::uint64_t now = random() % (1ULL << 40);
  timer_wheel wheel(now);

  struct modelled;
  struct model {
    std::multimap<std::uint64_t, modelled*> armed;
    timer_wheel* wheel;
    bool early = false;
    bool unexpected = false;
    std::size_t fired = 0;
  } expected{{}, &wheel};
  struct modelled : timer {
    model* in = nullptr;
    std::multimap<std::uint64_t, modelled*>::iterator at;
    bool listed = false;
  };
  std::vector<modelled> timers(count);
  for (auto& t : timers) {
    t.in = &expected;
    t.fire = [](timer& base) noexcept {
      auto& self = static_cast<modelled&>(base);
      model& m = *self.in;
      ++m.fired;
      if (!self.listed) {
        m.unexpected = true;
        return;
      }
      if (m.wheel->now() < self.at->first) m.early = true;
      m.armed.erase(self.at);
      self.listed = false;
    };
  }
  const auto far = [&random] {  // any level, each as often as the next
    const auto shift = random() % 39;
    return random() % (2ULL << shift);
  };
  for (int step = 0; step < 300'000; ++step) {
    modelled& t = timers[random() % count];
    switch (random() % 8) {
      case 0:
      case 1:
      case 2:
      case 3: {
        if (t.listed) expected.armed.erase(t.at);
        const std::uint64_t expiry = now + far();
        wheel.arm(t, expiry);
        // What is due already is due at the next tick.
        t.at = expected.armed.emplace(std::max(expiry, now + 1), &t);
        t.listed = true;
        break;
      }
      case 4:
        if (t.listed) expected.armed.erase(t.at);
        t.listed = false;
        wheel.disarm(t);
        break;
      default: {
        const auto next = wheel.next();
        if (!expected.armed.empty()) {
          REQUIRE(next);
          REQUIRE(*next <= expected.armed.begin()->first);
          REQUIRE(*next > now);
        }
        // Mostly short ways, so that many timers stay armed.
        now += step % 64 == 0 ? far() >> 8 : random() % 512;
        wheel.advance(now);
        REQUIRE(wheel.now() == now);
        REQUIRE_FALSE(expected.early);
        REQUIRE_FALSE(expected.unexpected);
        if (!expected.armed.empty()) REQUIRE(expected.armed.begin()->first > now);
      }
    }
  }
  CHECK(expected.fired > 10'000);
  for (const auto& t : timers) REQUIRE(t.armed() == t.listed);
}
