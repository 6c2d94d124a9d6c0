#include "hashing/key_table.hpp"

#include <catch2/catch.hpp>

#include <memory>
#include <random>
#include <set>
#include <string>

using namespace hashing;

namespace {

struct item {
  std::string name;
  [[nodiscard]] std::string_view key() const noexcept { return name; }
};

// With the items, which a table does not own.
class owning_table : public key_table<item> {
 public:
  using key_table<item>::key_table;
  ~owning_table() {
    for_each([](item& it) { delete &it; });
  }
};

std::string name(int i) { return "key:" + std::to_string(i); }

void add(owning_table& table, const std::string& key) { table.insert(table.hash_of(key), new item{key}); }

bool take(owning_table& table, const std::string& key) {
  const auto hash = table.hash_of(key);
  item** const place = table.find(hash, key);
  if (place == nullptr) return false;
  delete table.remove(hash, place);
  return true;
}

bool has(owning_table& table, const std::string& key) {
  return table.find(table.hash_of(key), key) != nullptr;
}

}  // namespace

TEST_CASE("a table holds what a map would, whatever comes and goes") {
  const key_hash hash;
  owning_table table(hash);
  std::set<std::string> expected;
  std::mt19937 draw(3);
  for (int phase = 0; phase < 6; ++phase)
    for (int i = 0; i < 8000; ++i) {
      const std::string key = name(static_cast<int>(draw() % 20'000));
      const bool adds = draw() % 10 < (phase % 2 == 0 ? 8U : 1U);
      if (adds && expected.insert(key).second)
        add(table, key);
      else if (!adds)
        REQUIRE(take(table, key) == (expected.erase(key) != 0));
      REQUIRE(table.size() == expected.size());
    }
  for (int i = 0; i < 20'000; ++i) REQUIRE(has(table, name(i)) == expected.contains(name(i)));
  std::set<std::string> seen;
  table.for_each([&](const item& it) { REQUIRE(seen.emplace(it.key()).second); });
  CHECK(seen == expected);
}

TEST_CASE("a table that has been emptied gives its memory back, but for what had spilled") {
  const key_hash hash;
  owning_table table(hash);
  const auto at_first = table.memory();
  for (int i = 0; i < 50'000; ++i) add(table, name(i));
  const auto full = table.memory();
  CHECK(full < 50'000 * 25);
  for (int i = 0; i < 50'000; ++i) REQUIRE(take(table, name(i)));
  CHECK(table.memory() < full / 2);
  CHECK(table.memory() >= at_first);
}

TEST_CASE("growing is never more than a step: memory is taken a segment at a time") {
  const key_hash hash;
  owning_table table(hash);
  std::size_t before = table.memory();
  for (int i = 0; i < 100'000; ++i) {
    add(table, name(i));
    REQUIRE(table.memory() - before <= 2 * 65536);
    before = table.memory();
  }
}

TEST_CASE("a scan sees every item that stays while the table grows and shrinks") {
  std::mt19937 draw(11);
  for (const int change : {0, 40, -40, 300, -300}) {
    CAPTURE(change);
    const key_hash hash;
    owning_table table(hash);
    std::set<std::string> missing;
    for (int i = 0; i < 2000; ++i) {
      add(table, name(i));
      missing.insert(name(i));
    }
    int next = 2000;
    if (change < 0)
      for (; next < 60'000; ++next) add(table, name(next));
    std::uint64_t cursor = 0;
    int steps = 0;
    do {
      cursor = table.scan(cursor, [&](const item& it) { missing.erase(std::string(it.key())); });
      if (change > 0 && next < 100'000)
        for (int i = 0; i < change; ++i) add(table, name(next++));
      for (int i = 0; i > change && next > 2000; --i) REQUIRE(take(table, name(--next)));
      REQUIRE(++steps < 200'000);
    } while (cursor != 0);
    CHECK(missing.empty());
  }
}

TEST_CASE("every item is drawn at random sooner or later, and only those that are there") {
  const key_hash hash;
  owning_table table(hash);
  for (int i = 0; i < 50; ++i) add(table, name(i));
  std::mt19937 draw(5);
  std::set<std::string> drawn;
  for (int i = 0; i < 5000; ++i) drawn.emplace(table.random([&] { return draw(); })->key());
  CHECK(drawn.size() == 50);
}

TEST_CASE("a table that was moved holds the items, and what it was moved from is assigned to") {
  const key_hash hash;
  owning_table table(hash);
  for (int i = 0; i < 1000; ++i) add(table, name(i));
  key_table<item> old(hash);
  std::swap<key_table<item>>(table, old);
  CHECK(table.size() == 0);
  CHECK(old.size() == 1000);
  add(table, name(1));
  CHECK(has(table, name(1)));
  old.for_each([](item& it) { delete &it; });
}

TEST_CASE("every bucket is seen once, and an item of each while others are taken away") {
  const key_hash hash;
  owning_table table(hash);
  for (int i = 0; i < 1000; ++i) add(table, name(i));
  std::size_t seen = 0;
  for (std::uint64_t i = 0; i < table.buckets(); ++i) table.in_bucket(i, [&](item&) { ++seen; });
  CHECK(seen == 1000);
  CHECK(table.buckets() * 4 >= 1000);
}
