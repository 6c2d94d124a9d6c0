#include "weir/admission/detail/address_limit.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

using namespace weir;

namespace {

// A house and a door: one client, whatever the door.
struct address {
  int house;
  int door = 0;
  [[nodiscard]] address host() const noexcept { return {house, 0}; }
  [[nodiscard]] std::size_t hash() const noexcept { return static_cast<std::size_t>(house); }
  bool operator==(const address&) const = default;
};

}  // namespace

TEST_CASE("each address may have so many, whatever its port, and a place is free again at once") {
  address_limit<address> limit(2);
  CHECK(limit.is_on());
  CHECK(limit.try_acquire({1, 10}));
  CHECK(limit.try_acquire({1, 11}));
  CHECK_FALSE(limit.try_acquire({1, 12}));
  CHECK(limit.try_acquire({2, 10}));
  limit.release({1, 10});
  CHECK(limit.try_acquire({1, 12}));
  CHECK_FALSE(limit.try_acquire({1, 13}));
}

TEST_CASE("an address that has nothing left is forgotten") {
  address_limit<address> limit(1);
  for (int house = 0; house < 1000; ++house) CHECK(limit.try_acquire({house}));
  CHECK(limit.addresses() == 1000);
  for (int house = 0; house < 1000; ++house) limit.release({house});
  CHECK(limit.addresses() == 0);
  limit.release({1});  // one that is not there
  CHECK(limit.try_acquire({1}));
}

TEST_CASE("a refused address takes no place") {
  address_limit<address> limit(1);
  CHECK(limit.try_acquire({1}));
  for (int i = 0; i < 10; ++i) CHECK_FALSE(limit.try_acquire({1}));
  limit.release({1});
  CHECK(limit.addresses() == 0);
}

TEST_CASE("a limit of zero is none") { CHECK_FALSE(address_limit<address>(0).is_on()); }

TEST_CASE("threads that come and go never exceed the limit") {
  address_limit<address> limit(3);
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 2000; ++i) {
          if (!limit.try_acquire({1})) continue;
          const int now = ++inside;
          for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
          }
          --inside;
          limit.release({1});
        }
      });
    }
  }
  CHECK(most <= 3);
  CHECK(most >= 1);
  CHECK(limit.addresses() == 0);
}

TEST_CASE("another limit holds for what comes, and takes no place away") {
  address_limit<address> limit(2);
  CHECK(limit.try_acquire({1, 10}));
  CHECK(limit.try_acquire({1, 11}));
  limit.set_limit(3);
  CHECK(limit.try_acquire({1, 12}));
  limit.set_limit(1);
  limit.release({1, 12});
  limit.release({1, 11});
  CHECK_FALSE(limit.try_acquire({1, 13}));
  limit.release({1, 10});
  CHECK(limit.try_acquire({1, 13}));
}
