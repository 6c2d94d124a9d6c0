#include "table.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <string>

using namespace cache;

TEST_CASE("a table finds what a map finds, through growth, removal and replacement") {
  table items;
  std::map<std::string, item_ptr> expected;
  std::mt19937 random(1);
  const auto hash_of = [](const std::string& key) {
    return static_cast<std::uint32_t>(std::hash<std::string>()(key));
  };
  for (int i = 0; i < 20'000; ++i) {
    const std::string key = std::to_string(random() % 5'000);
    auto& known = expected[key];
    item_ptr fresh = item::make(key, hash_of(key), 0);
    if (!known) {
      items.insert(*fresh);
      known = std::move(fresh);
    } else if (random() % 3 == 0) {
      items.remove(*known);
      CHECK_FALSE(known->is_linked);
      expected.erase(key);
    } else {
      items.replace(*known, *fresh);
      known = std::move(fresh);
    }
  }
  REQUIRE(items.size() == expected.size());
  for (const auto& [key, known] : expected) CHECK(items.find(hash_of(key), key) == known.get());
  CHECK(items.find(hash_of("none"), "none") == nullptr);
  CHECK(items.buckets() >= items.size());
  std::size_t seen = 0;
  for (std::size_t i = 0; i < items.buckets(); ++i)
    for (const item* each = items.bucket(i); each != nullptr; each = each->next) ++seen;
  CHECK(seen == expected.size());
}

TEST_CASE("a table grows by no more than one bucket at a time") {
  table items;
  std::vector<item_ptr> owned;
  for (int i = 0; i < 1'000; ++i) {
    const std::string key = std::to_string(i);
    owned.push_back(item::make(key, static_cast<std::uint32_t>(std::hash<std::string>()(key)), 0));
    const std::size_t before = items.buckets();
    items.insert(*owned.back());
    CHECK(items.buckets() - before <= 1);
  }
}

TEST_CASE("keys of one hash are told apart") {
  table items;
  const item_ptr a = item::make("a", 7, 0);
  const item_ptr b = item::make("b", 7, 0);
  items.insert(*a);
  items.insert(*b);
  CHECK(items.find(7, "a") == a.get());
  CHECK(items.find(7, "b") == b.get());
  items.remove(*a);
  CHECK(items.find(7, "a") == nullptr);
  CHECK(items.find(7, "b") == b.get());
}
