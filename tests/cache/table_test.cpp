#include "table.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <string>

using namespace cache;

TEST_CASE("a table finds what a map finds, through growth, removal and replacement") {
  const key_hash hash;
  table items(hash);
  std::map<std::string, item_ptr> expected;
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    const std::string key = std::to_string(random() % 5'000);
    auto& known = expected[key];
    item_ptr fresh = item::make(key, 0);
    if (!known) {
      items.insert(*fresh, hash(key));
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
  for (const auto& [key, known] : expected) CHECK(items.find(key, hash(key)) == known.get());
  CHECK(items.find("none", hash("none")) == nullptr);
  CHECK(items.buckets() >= items.size());
  std::size_t seen = 0;
  for (std::size_t i = 0; i < items.buckets(); ++i)
    for (const item* each = items.bucket(i); each != nullptr; each = each->next) ++seen;
  CHECK(seen == expected.size());
}

TEST_CASE("a table grows by no more than one bucket at a time") {
  const key_hash hash;
  table items(hash);
  std::vector<item_ptr> owned;
  for (int i = 0; i < 1'000; ++i) {
    const std::string key = std::to_string(i);
    owned.push_back(item::make(key, 0));
    const std::size_t before = items.buckets();
    items.insert(*owned.back(), hash(key));
    CHECK(items.buckets() - before <= 1);
  }
}

TEST_CASE("items that share a bucket are told apart") {
  const key_hash hash;
  table items(hash);
  std::vector<item_ptr> owned;
  std::vector<std::string> keys;
  for (int i = 0; keys.size() < 3; ++i)  // before it grows: of sixteen buckets, the one of "0"
    if (const std::string key = std::to_string(i); hash(key) % 16 == hash("0") % 16) keys.push_back(key);
  for (const std::string& key : keys) {
    owned.push_back(item::make(key, 0));
    items.insert(*owned.back(), hash(key));
  }
  items.remove(*owned[1]);
  CHECK(items.find(keys[0], hash(keys[0])) == owned[0].get());
  CHECK(items.find(keys[1], hash(keys[1])) == nullptr);
  CHECK(items.find(keys[2], hash(keys[2])) == owned[2].get());
}

TEST_CASE("two starts hash the same key differently") { CHECK(key_hash()("key") != key_hash()("key")); }
