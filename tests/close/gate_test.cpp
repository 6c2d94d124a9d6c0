#include "weir/close/gate.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

using namespace weir;

TEST_CASE("a gate lets in as many as its limit and counts them") {
  gate g(2);
  const auto first = g.try_enter();
  auto second = g.try_enter();
  CHECK(first);
  CHECK(second);
  CHECK(g.inside() == 2);
  CHECK_FALSE(g.try_enter());
  CHECK(g.inside() == 2);
  second = gate::pass();  // swapped out, and gone with the temporary
  CHECK(g.inside() == 1);
  CHECK(g.try_enter());
}

TEST_CASE("a moved pass counts once, and a released one until it is adopted again") {
  gate g(1);
  {
    auto first = g.try_enter();
    auto second = std::move(first);
    CHECK_FALSE(first);
    CHECK(second);
    CHECK(g.inside() == 1);
    CHECK(second.release() == &g);
    CHECK_FALSE(second);
  }
  CHECK(g.inside() == 1);
  {
    const auto back = gate::adopt(&g);
  }
  CHECK(g.inside() == 0);
}

TEST_CASE("who goes on into the inner gate is inside both, whatever the inner limit, and leaves both") {
  gate outer(3);
  gate inner(0, &outer);
  {
    const auto pass = inner.enter_from(outer.try_enter());
    CHECK(inner.inside() == 1);
    CHECK(outer.inside() == 1);
  }
  CHECK(inner.inside() == 0);
  CHECK(outer.inside() == 0);
}

TEST_CASE("who waits for room is called once, when somebody leaves") {
  gate g(1);
  auto pass = g.try_enter();
  int calls = 0;
  g.when_room([&] { ++calls; });
  CHECK(calls == 0);
  pass = {};
  CHECK(calls == 1);
  pass = g.try_enter();
  pass = {};
  CHECK(calls == 1);
}

TEST_CASE("who waits for room that is there is called at once") {
  gate g(1);
  int calls = 0;
  g.when_room([&] { ++calls; });
  CHECK(calls == 1);
}

TEST_CASE("everybody who waits for room is called: the first may not want it any more") {
  gate g(1);
  auto pass = g.try_enter();
  int calls = 0;
  g.when_room([&] { ++calls; });
  g.when_room([&] { ++calls; });
  pass = {};
  CHECK(calls == 2);
}

TEST_CASE("who waits for emptiness is called when the last has left") {
  gate g(2);
  int calls = 0;
  {
    auto first = g.try_enter();
    const auto second = g.try_enter();
    g.when_empty([&] { ++calls; });
    first = {};
    CHECK(calls == 0);
  }
  CHECK(calls == 1);
  g.when_empty([&] { ++calls; });
  CHECK(calls == 2);
}

TEST_CASE("the inner gate's leaving wakes who waits at the outer one") {
  gate outer(1);
  gate inner(UINT32_MAX, &outer);
  int calls = 0;
  {
    const auto pass = inner.enter_from(outer.try_enter());
    outer.when_room([&] { ++calls; });
    outer.when_empty([&] { ++calls; });
    CHECK(calls == 0);
  }
  CHECK(calls == 2);
}

TEST_CASE("who is forgotten is not called") {
  gate g(1);
  int calls = 0;
  {
    const auto pass = g.try_enter();
    g.when_room([&] { ++calls; });
    g.when_empty([&] { ++calls; });
    g.forget_waiting();
  }
  CHECK(calls == 0);
}

TEST_CASE("a callback may enter the gate that called it") {
  gate g(1);
  auto pass = g.try_enter();
  gate::pass taken;
  g.when_room([&] { taken = g.try_enter(); });
  pass = {};
  CHECK(taken);
  CHECK(g.inside() == 1);
}

TEST_CASE("threads that crowd a gate never exceed its limit, and nobody waits for ever") {
  constexpr int threads = 4;
  constexpr int entries = 2000;
  gate g(2);
  std::atomic<int> present{0};
  std::atomic<int> most{0};
  {
    std::vector<std::jthread> crowd;
    for (int i = 0; i < threads; ++i) {
      crowd.emplace_back([&] {
        for (int done = 0; done < entries;) {
          if (const auto pass = g.try_enter()) {
            const int now = ++present;
            for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
            }
            --present;
            ++done;
            continue;
          }
          const auto room = std::make_shared<std::promise<void>>();
          auto there = room->get_future();
          g.when_room([room] { room->set_value(); });
          there.wait();
        }
      });
    }
  }
  CHECK(most <= 2);
  CHECK(g.inside() == 0);
}

TEST_CASE("a gate counts where others can read it") {
  std::atomic<std::uint32_t> count{0};
  gate g(2, nullptr, &count);
  {
    const auto one = g.try_enter();
    const auto two = g.try_enter();
    CHECK(count == 2);
    CHECK_FALSE(g.try_enter());
  }
  CHECK(count == 0);
}
