#include "weir/admission/detail/permit_pool.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <memory>
#include <thread>
#include <vector>

using namespace weir;

TEST_CASE("a permit pool gives as many permits as its limit and counts them") {
  permit_pool g(2);
  const auto first = g.try_acquire();
  auto second = g.try_acquire();
  CHECK(first);
  CHECK(second);
  CHECK(g.in_use() == 2);
  CHECK_FALSE(g.try_acquire());
  CHECK(g.in_use() == 2);
  second = permit_pool::permit();  // swapped out, and gone with the temporary
  CHECK(g.in_use() == 1);
  CHECK(g.try_acquire());
}

TEST_CASE("a moved permit counts once, and a released one until it is adopted again") {
  permit_pool g(1);
  {
    auto first = g.try_acquire();
    auto second = std::move(first);
    CHECK_FALSE(first);
    CHECK(second);
    CHECK(g.in_use() == 1);
    CHECK(second.release() == &g);
    CHECK_FALSE(second);
  }
  CHECK(g.in_use() == 1);
  {
    const auto back = permit_pool::adopt(&g);
  }
  CHECK(g.in_use() == 0);
}

TEST_CASE(
    "who goes on into the inner permit_pool is inside both, whatever the inner limit, and leaves both") {
  permit_pool outer(3);
  permit_pool inner(0, &outer);
  {
    const auto permit = inner.acquire_from(outer.try_acquire());
    CHECK(inner.in_use() == 1);
    CHECK(outer.in_use() == 1);
  }
  CHECK(inner.in_use() == 0);
  CHECK(outer.in_use() == 0);
}

TEST_CASE("a call for a free permit comes once, when one is given back") {
  permit_pool g(1);
  auto permit = g.try_acquire();
  int calls = 0;
  g.when_available([&] { ++calls; });
  CHECK(calls == 0);
  permit = {};
  CHECK(calls == 1);
  permit = g.try_acquire();
  permit = {};
  CHECK(calls == 1);
}

TEST_CASE("a call for a permit that is free comes at once") {
  permit_pool g(1);
  int calls = 0;
  g.when_available([&] { ++calls; });
  CHECK(calls == 1);
}

TEST_CASE("all calls for a free permit come: the first may not want it any more") {
  permit_pool g(1);
  auto permit = g.try_acquire();
  int calls = 0;
  g.when_available([&] { ++calls; });
  g.when_available([&] { ++calls; });
  permit = {};
  CHECK(calls == 2);
}

TEST_CASE("a call for no permit in use comes when the last is given back") {
  permit_pool g(2);
  int calls = 0;
  {
    auto first = g.try_acquire();
    const auto second = g.try_acquire();
    g.when_unused([&] { ++calls; });
    first = {};
    CHECK(calls == 0);
  }
  CHECK(calls == 1);
  g.when_unused([&] { ++calls; });
  CHECK(calls == 2);
}

TEST_CASE("a permit of the inner pool that is given back is free in the outer one") {
  permit_pool outer(1);
  permit_pool inner(UINT32_MAX, &outer);
  int calls = 0;
  {
    const auto permit = inner.acquire_from(outer.try_acquire());
    outer.when_available([&] { ++calls; });
    outer.when_unused([&] { ++calls; });
    CHECK(calls == 0);
  }
  CHECK(calls == 2);
}

TEST_CASE("a dropped call does not come") {
  permit_pool g(1);
  int calls = 0;
  {
    const auto permit = g.try_acquire();
    g.when_available([&] { ++calls; });
    g.when_unused([&] { ++calls; });
    g.forget_waiting();
  }
  CHECK(calls == 0);
}

TEST_CASE("a call may take a permit of the pool that calls") {
  permit_pool g(1);
  auto permit = g.try_acquire();
  permit_pool::permit taken;
  g.when_available([&] { taken = g.try_acquire(); });
  permit = {};
  CHECK(taken);
  CHECK(g.in_use() == 1);
}

TEST_CASE("threads that crowd a permit pool never exceed its limit, and none waits for ever") {
  constexpr int threads = 4;
  constexpr int entries = 2000;
  permit_pool g(2);
  std::atomic<int> present{0};
  std::atomic<int> most{0};
  {
    std::vector<std::jthread> crowd;
    for (int i = 0; i < threads; ++i) {
      crowd.emplace_back([&] {
        for (int done = 0; done < entries;) {
          if (const auto permit = g.try_acquire()) {
            const int now = ++present;
            for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
            }
            --present;
            ++done;
            continue;
          }
          const auto room = std::make_shared<std::promise<void>>();
          auto there = room->get_future();
          g.when_available([room] { room->set_value(); });
          there.wait();
        }
      });
    }
  }
  CHECK(most <= 2);
  CHECK(g.in_use() == 0);
}

TEST_CASE("a permit pool counts where other processes can read it") {
  std::atomic<std::uint32_t> count{0};
  permit_pool g(2, nullptr, &count);
  {
    const auto one = g.try_acquire();
    const auto two = g.try_acquire();
    CHECK(count == 2);
    CHECK_FALSE(g.try_acquire());
  }
  CHECK(count == 0);
}

TEST_CASE("a limit that is raised frees permits for those that wait, and a lower one takes none away") {
  permit_pool g(1);
  const auto first = g.try_acquire();
  bool told = false;
  g.when_available([&] { told = true; });
  CHECK_FALSE(told);
  g.set_limit(2);
  CHECK(told);
  auto second = g.try_acquire();
  CHECK(second);
  g.set_limit(1);
  CHECK(g.in_use() == 2);
  second = permit_pool::permit();
  CHECK_FALSE(g.try_acquire());  // the first is still in use
  CHECK(g.limit() == 1);
}

TEST_CASE("a permit that is given back is told while somebody watches, of an inner pool too") {
  permit_pool outer(4);
  permit_pool inner(4, &outer);
  int told = 0;
  std::uint32_t seen = 9;
  outer.when_given_back([&] {
    ++told;
    seen = outer.in_use();
  });
  auto first = inner.acquire_from(outer.try_acquire());
  auto second = outer.try_acquire();
  auto third = outer.try_acquire();
  third = {};
  CHECK(told == 0);
  {
    const permit_pool::watch one(outer);
    const permit_pool::watch two(outer);
    first = {};
    CHECK(told == 1);
    CHECK(seen == 1);
  }
  second = {};
  CHECK(told == 1);
}
