#include "store.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

using namespace cache;

namespace {

constexpr std::uint32_t start = 1'000'000'000;

// A store whose time the test moves.
struct timed_store {
  explicit timed_store(const store_settings& s = {.shards = 1}) : items(s) {}

  outcome put(update how, const std::string& key, const std::string& value, std::int64_t exptime = 0,
              std::uint64_t expected = 0) {
    return items.put({how, items.key_of(key), 0, expiry(exptime, now), expected}, value, now);
  }
  outcome set(const std::string& key, const std::string& value, std::int64_t exptime = 0) {
    return put(update::set, key, value, exptime);
  }
  std::string get(const std::string& key, std::uint64_t* version = nullptr) {
    std::string out = "(none)";
    items.get(items.key_of(key), now, std::nullopt, [&](item& i) {
      out = i.value();
      if (version != nullptr) *version = i.version;
    });
    return out;
  }
  std::uint64_t counted_as(counted what) { return items.figures().count[what]; }
  void pass(std::uint32_t seconds) {
    now.seconds += seconds;
    now.milliseconds += 1000 * seconds;
  }

  store items;
  instant now{start, 5'000};
};

// Appended, because GCC 12 warns of a prepended letter.
std::string numbered(int i) { return std::string("k").append(std::to_string(i)); }

// Room for so many items of 1000 bytes, and not for one more.
store_settings room_for(std::size_t count, bool evicts = true) {
  const std::size_t each = item::make("k1", 1000)->footprint();
  return {.memory = count * each + each / 2, .evicts = evicts, .shards = 1};
}

}  // namespace

TEST_CASE("what is stored depends on what is there") {
  timed_store s;
  CHECK(s.put(update::replace, "k", "x") == outcome::not_stored);
  CHECK(s.put(update::append, "k", "x") == outcome::not_stored);
  CHECK(s.put(update::prepend, "k", "x") == outcome::not_stored);
  CHECK(s.put(update::add, "k", "one") == outcome::stored);
  CHECK(s.put(update::add, "k", "two") == outcome::not_stored);
  CHECK(s.put(update::append, "k", ">") == outcome::stored);
  CHECK(s.put(update::prepend, "k", "<") == outcome::stored);
  CHECK(s.get("k") == "<one>");
  CHECK(s.put(update::replace, "k", "three") == outcome::stored);  // in place
  CHECK(s.put(update::replace, "k", "fourth") == outcome::stored);
  CHECK(s.get("k") == "fourth");
  CHECK(s.items.remove(s.items.key_of("k"), s.now));
  CHECK_FALSE(s.items.remove(s.items.key_of("k"), s.now));
  CHECK(s.get("k") == "(none)");
}

TEST_CASE("cas replaces only the version that the client has seen") {
  timed_store s;
  CHECK(s.put(update::cas, "k", "x", 0, 1) == outcome::not_found);
  s.set("k", "a");
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  s.get("k", &first);
  CHECK(s.put(update::cas, "k", "b", 0, first) == outcome::stored);
  CHECK(s.put(update::cas, "k", "c", 0, first) == outcome::exists);
  CHECK(s.get("k", &second) == "b");
  CHECK(second != first);
  s.set("k", "b");  // the same bytes are another version
  CHECK(s.put(update::cas, "k", "c", 0, second) == outcome::exists);
  CHECK(s.counted_as(counted::cas_badval) == 2);
  CHECK(s.counted_as(counted::cas_hits) == 1);
  CHECK(s.counted_as(counted::cas_misses) == 1);
}

TEST_CASE("an exptime is never, at once, a delay of up to 30 days, or a date") {
  const instant now{start, 0};
  constexpr std::int64_t month = 60 * 60 * 24 * 30;
  CHECK(expiry(0, now) == 0);
  CHECK(expiry(-1, now) <= start);
  CHECK(expiry(1, now) == start + 1);
  CHECK(expiry(month, now) == start + month);
  CHECK(expiry(month + 1, now) == month + 1);  // 1970: gone
  CHECK(expiry(start + 10, now) == start + 10);
  CHECK(expiry(std::int64_t{1} << 40, now) == 0xffffffff);
}

TEST_CASE("an item is gone from its time of expiry on") {
  timed_store s;
  s.set("never", "x");
  s.set("soon", "x", 10);
  s.set("date", "x", start + 20);
  s.set("past", "x", -1);
  CHECK(s.get("past") == "(none)");
  s.pass(9);
  CHECK(s.get("soon") == "x");
  s.pass(1);
  CHECK(s.get("soon") == "(none)");
  CHECK(s.put(update::add, "soon", "y") == outcome::stored);
  CHECK(s.get("date") == "x");
  CHECK(s.items.touch(s.items.key_of("date"), expiry(100, s.now), s.now));
  s.pass(50);
  CHECK(s.get("date") == "x");
  s.pass(50);
  CHECK(s.get("date") == "(none)");
  CHECK_FALSE(s.items.touch(s.items.key_of("date"), 0, s.now));
  CHECK(s.get("never") == "x");
  CHECK(s.counted_as(counted::get_expired) == 3);
}

TEST_CASE("what has expired gives its memory back within a minute, although nobody asks for it") {
  timed_store s({.shards = 4});
  for (int i = 0; i < 1'000; ++i) s.set(numbered(i), "value", i % 2 == 0 ? 5 : 0);
  s.pass(5);
  for (int second = 0; second < 60; ++second) s.items.reap(s.now);
  const store_figures left = s.items.figures();
  CHECK(left.items == 500);
  CHECK(left.count[counted::reclaimed] == 500);
  CHECK(s.get("k1") == "value");
}

TEST_CASE("a flush takes what was stored before it, and nothing after") {
  timed_store s;
  s.set("a", "x");
  s.items.flush(s.now.seconds, s.now);
  CHECK(s.get("a") == "(none)");
  s.set("a", "y");  // in the same second
  CHECK(s.get("a") == "y");
  s.items.flush(s.now.seconds + 10, s.now);
  s.pass(9);
  s.set("b", "x");
  CHECK(s.get("a") == "y");
  s.pass(1);
  s.set("c", "x");
  CHECK(s.get("a") == "(none)");
  CHECK(s.get("b") == "(none)");
  CHECK(s.get("c") == "x");
}

TEST_CASE("the item that was unused longest goes first, and a get is a use") {
  timed_store s(room_for(6));
  const std::string value(1000, 'v');
  for (int i = 1; i <= 6; ++i) {
    s.pass(1);
    s.set(numbered(i), value);
  }
  CHECK(s.counted_as(counted::evictions) == 0);
  s.pass(1);
  CHECK(s.get("k1") == value);
  for (int i = 7; i <= 9; ++i) {
    s.pass(1);
    CHECK(s.set(numbered(i), value) == outcome::stored);
  }
  CHECK(s.counted_as(counted::evictions) == 3);
  for (const std::string gone : {"k2", "k3", "k4"}) CHECK(s.get(gone) == "(none)");
  for (const std::string kept : {"k1", "k5", "k6", "k7", "k8", "k9"}) CHECK(s.get(kept) == value);
}

TEST_CASE("what has expired goes before what lives") {
  timed_store s(room_for(4));
  const std::string value(1000, 'v');
  for (int i = 1; i <= 4; ++i) s.set(numbered(i), value, i == 4 ? 1 : 0);
  s.pass(1);
  s.set("k5", value);
  CHECK(s.counted_as(counted::evictions) == 0);
  for (const std::string kept : {"k1", "k2", "k3", "k5"}) CHECK(s.get(kept) == value);
}

TEST_CASE("among many items the oldest go, roughly") {
  timed_store s({.memory = 1 << 20, .shards = 8});
  const std::string value(100, 'v');
  constexpr int count = 20'000;
  for (int i = 0; i < count; ++i) {
    s.now.milliseconds += 1;
    REQUIRE(s.set(numbered(i), value) == outcome::stored);
  }
  const auto held = static_cast<int>(s.items.figures().items);
  CHECK(held < count / 2);
  int young = 0;
  for (int i = count - held / 2; i < count; ++i) young += s.get(numbered(i)) == value;
  CHECK(young > held / 2 * 95 / 100);
  int old = 0;
  for (int i = 0; i < count - 2 * held; ++i) old += s.get(numbered(i)) == value;
  CHECK(old < held * 5 / 100);
}

TEST_CASE("memory stays within the limit, whatever the sizes, and comes back") {
  timed_store s({.memory = 1 << 20, .shards = 4});
  for (int i = 0; i < 3'000; ++i) {
    s.now.milliseconds += 1;
    REQUIRE(s.set(numbered(i), std::string(static_cast<std::size_t>(i) * 37 % 9'000, 'v')) ==
            outcome::stored);
    CHECK(s.items.figures().memory <= (1 << 20) + 100);
  }
  s.items.flush(s.now.seconds, s.now);
  for (int second = 0; second < 61; ++second) s.items.reap(s.now);
  CHECK(s.items.figures().items == 0);
  CHECK(s.items.figures().memory == 0);
}

TEST_CASE("without eviction a full store refuses, until something is gone") {
  timed_store s(room_for(3, false));
  const std::string value(1000, 'v');
  for (int i = 1; i <= 3; ++i) CHECK(s.set(numbered(i), value) == outcome::stored);
  CHECK(s.set("k4", value) == outcome::no_memory);
  CHECK(s.set("k1", std::string(1000, 'w')) == outcome::stored);  // needs no more memory
  CHECK(s.get("k1") == std::string(1000, 'w'));
  CHECK(s.items.remove(s.items.key_of("k2"), s.now));
  CHECK(s.set("k4", value) == outcome::stored);
  CHECK(s.counted_as(counted::store_no_memory) == 1);
}

TEST_CASE("numbers wrap upwards, stop at 0 downwards, and keep their place if they fit") {
  timed_store s;
  std::uint64_t n = 0;
  const auto key = s.items.key_of("n");
  const auto add = [&](direction d, std::uint64_t delta) { return s.items.add(key, d, delta, s.now, n); };
  CHECK(add(direction::up, 1) == outcome::not_found);
  s.set("n", "10");
  CHECK(add(direction::down, 1) == outcome::stored);
  CHECK(s.get("n") == "9 ");
  CHECK(add(direction::up, 991) == outcome::stored);
  CHECK(s.get("n") == "1000");
  CHECK(add(direction::down, 1001) == outcome::stored);
  CHECK(n == 0);
  s.set("n", "18446744073709551615");
  CHECK(add(direction::up, 2) == outcome::stored);
  CHECK(n == 1);
  for (const std::string bad : {"", "x", "1x", "-1", "18446744073709551616"}) {
    s.set("n", bad);
    CHECK(add(direction::up, 1) == outcome::not_a_number);
    CHECK(s.get("n") == bad);
  }
}

TEST_CASE("a value that is pinned outlives its change and its removal") {
  timed_store s;
  s.set("k", "before");
  item* pinned = nullptr;
  s.items.get(s.items.key_of("k"), s.now, std::nullopt, [&](item& i) {
    REQUIRE(i.pin());
    pinned = &i;
  });
  s.set("k", "after!");  // as long, but not in place
  CHECK(pinned->value() == "before");
  CHECK(s.get("k") == "after!");
  CHECK(s.items.remove(s.items.key_of("k"), s.now));
  CHECK(pinned->value() == "before");
  s.items.unpin({pinned, pinned->value(), s.items.key_of("k").hash});
  CHECK(s.items.figures().memory == 0);
}

TEST_CASE("a value that comes in parts takes its memory from the first, and gives it back if it never ends") {
  timed_store s(room_for(3));
  const change c{update::set, s.items.key_of("k"), 7, 0, 0};
  {
    const store::upload begun = s.items.begin(c, 1000, 2, s.now);
    REQUIRE(begun);
    CHECK(s.items.figures().memory >= 1000);
  }
  CHECK(s.items.figures().memory == 0);
  store::upload whole = s.items.begin(c, 3, 2, s.now);
  std::memcpy(whole->value_bytes(), "abc\r\n", 5);
  CHECK(s.items.put(c, std::move(whole), s.now) == outcome::stored);
  CHECK(s.get("k") == "abc");
  store::upload more = s.items.begin({update::append, c.key, 0, 0, 0}, 3, 2, s.now);
  std::memcpy(more->value_bytes(), "def\r\n", 5);
  CHECK(s.items.put({update::append, c.key, 0, 0, 0}, std::move(more), s.now) == outcome::stored);
  CHECK(s.get("k") == "abcdef");
  CHECK_FALSE(s.items.begin(c, 5000, 2, s.now));
}

TEST_CASE("threads that share a store lose nothing") {
  timed_store s({.memory = 4 << 20, .shards = 2});
  s.set("n", "0");
  constexpr int rounds = 5'000;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      std::uint64_t n = 0;
      for (int i = 0; i < rounds; ++i) {
        static_cast<void>(s.items.add(s.items.key_of("n"), direction::up, 1, s.now, n));
        const std::string key = numbered(i % 50);
        static_cast<void>(s.items.put({update::set, s.items.key_of(key), 0, 0, 0},
                                      key + std::string(static_cast<std::size_t>((i + t) % 300), 'v'),
                                      s.now));
        s.items.get(s.items.key_of(key), s.now, std::nullopt,
                    [&](item& found) { wrong += !found.value().starts_with(key); });
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK(s.get("n").substr(0, 5) == std::to_string(3 * rounds));
}
