#include "deadline_queue.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

using namespace kv;

TEST_CASE("the next deadline is the earliest, whatever is added, moved and removed") {
  std::mt19937 draw(9);
  deadline_queue queue;
  std::vector<item*> items;
  const auto earliest = [&] {
    return (*std::min_element(items.begin(), items.end(),
                              [](item* a, item* b) { return a->due().at < b->due().at; }))
        ->due()
        .at;
  };
  for (int i = 0; i < 4000; ++i) {
    const auto dice = draw() % 10;
    if (items.empty() || dice < 5) {
      items.push_back(item::make(std::to_string(i), 0, true));
      items.back()->due().at = static_cast<std::int64_t>(draw() % 10'000);
      queue.add(*items.back());
    } else {
      const std::size_t chosen = draw() % items.size();
      item& it = *items[chosen];
      if (dice < 7) {
        it.due().at = static_cast<std::int64_t>(draw() % 10'000);
        queue.moved(it);
      } else if (dice < 8) {
        items[chosen] = item::make(it.key(), 0, true);
        items[chosen]->due() = it.due();
        queue.relocated(*items[chosen]);
        item::free(&it);
      } else {
        queue.remove(it);
        item::free(&it);
        items.erase(items.begin() + static_cast<std::ptrdiff_t>(chosen));
      }
    }
    REQUIRE(queue.size() == items.size());
    if (!items.empty()) REQUIRE(queue.next().due().at == earliest());
  }
  std::int64_t last = 0;
  while (!queue.empty()) {
    item& next = queue.next();
    REQUIRE(next.due().at >= last);
    last = next.due().at;
    queue.remove(next);
    item::free(&next);
  }
}
