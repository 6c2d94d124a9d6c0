#include "weir/observe/detail/series.hpp"

#include <catch2/catch.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "weir/observe/counter.hpp"
#include "weir/observe/histogram.hpp"
#include "weir/observe/labelled.hpp"

using namespace weir;
using namespace std::chrono_literals;

TEST_CASE("counters of one name and label are the same, and others are not") {
  const counter one("test_same", "A test.");
  const counter again("test_same", "A test.");
  const counter other("test_other", "A test.");
  one.add();
  again.add(4);
  CHECK(one.value() == 5);
  CHECK(other.value() == 0);
  const labelled<counter> many("test_many", "A test.", "kind", {"a", "b\"c"});
  many[1].add(2);
  many["a"].add(3);
  CHECK(many["b\"c"].value() == 2);
  CHECK(many[0].value() == 3);
  CHECK_THROWS_AS(many["z"], std::out_of_range);
}

TEST_CASE("a counter that many threads add to loses nothing") {
  const counter all("test_threads", "A test.");
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        for (int n = 0; n < 20'000; ++n) all.add();
      });
  }
  CHECK(all.value() == 80'000);
}

TEST_CASE("a histogram tells quantiles of what was recorded") {
  const histogram h("test_seconds", "A test.");
  for (int i = 1; i <= 1000; ++i) h.record(std::chrono::microseconds(i));
  h.record(-1s);
  CHECK(h.count() == 1001);
  CHECK(std::chrono::nanoseconds(h.quantile(0.5)) > 480us);
  CHECK(std::chrono::nanoseconds(h.quantile(0.5)) < 520us);
}

TEST_CASE("a name that cannot be a metric's is refused, and says why") {
  for (const char* wrong : {"", "9a", "Abc", "a-b", "weir_x", "a_total", "a b"})
    CHECK_THROWS_AS(counter(wrong, "A test."), std::invalid_argument);
  CHECK_THROWS_AS(histogram("a_bucket", "A test."), std::invalid_argument);
  CHECK_THROWS_AS(counter(std::string(200, 'a'), "A test."), std::invalid_argument);
  CHECK_THROWS_AS(counter("test_label", "A test.", "A", "b"), std::invalid_argument);
  CHECK_THROWS_AS(counter("test_label", "A test.", "a", "b\nc"), std::invalid_argument);
  const counter c("test_kind", "A test.");
  CHECK_THROWS_AS(histogram("test_kind", "A test."), std::invalid_argument);
}

TEST_CASE("what was counted before a server shares its memory goes on there, and afterwards here") {
  const counter before("test_before", "A test.");
  before.add(3);
  const histogram took("test_before_seconds", "A test.");
  took.record(1ms);
  const auto shared = std::make_unique<observe::series_store>();
  REQUIRE(observe::use_series(*shared));
  const auto second = std::make_unique<observe::series_store>();
  CHECK_FALSE(observe::use_series(*second));
  CHECK(before.value() == 3);
  before.add();
  const counter later("test_later", "A test.");
  later.add(9);
  CHECK(shared->counter("test_later", "", "") == shared->counter("test_later", "", ""));
  observe::give_back_series(*second);
  observe::give_back_series(*shared);
  CHECK(before.value() == 4);
  CHECK(later.value() == 9);
  CHECK(took.count() == 1);
}

TEST_CASE("a store that is full gives no place") {
  const auto store = std::make_unique<observe::series_store>();
  for (std::size_t i = 0; i < observe::series_store::most_histograms; ++i)
    REQUIRE(store->histogram("h" + std::to_string(i), "", "", observe::unit::none) !=
            observe::series_store::none);
  CHECK(store->histogram("one_more", "", "", observe::unit::none) == observe::series_store::none);
  CHECK(store->histogram("h7", "", "", observe::unit::none) != observe::series_store::none);
}
