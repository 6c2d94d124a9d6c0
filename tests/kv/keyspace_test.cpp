#include "keyspace.hpp"

#include <catch2/catch.hpp>

#include <string>

using namespace kv;

namespace {

std::string value_of(keyspace& keys, std::string_view key) {
  const item* const found = keys.peek(key);
  return found == nullptr ? "(none)" : std::string(found->value());
}

}  // namespace

TEST_CASE("a value is stored, replaced by shorter and longer ones, and erased") {
  keyspace keys;
  CHECK(value_of(keys, "a") == "(none)");
  for (const std::size_t size : {0U, 1U, 100U, 99U, 5000U, 3U, 0U}) {
    keys.set("a", std::string(size, 'x'), std::nullopt);
    CHECK(value_of(keys, "a") == std::string(size, 'x'));
    CHECK(keys.size() == 1);
  }
  CHECK(keys.erase("a"));
  CHECK(!keys.erase("a"));
  CHECK(keys.size() == 0);
}

TEST_CASE("a key is gone a millisecond after its deadline, whether or not a client asks for it") {
  keyspace keys;
  keys.set_time(1000);
  keys.set("lazy", "1", 1500);
  keys.set("active", "2", 1500);
  keys.set("later", "3", 2500);
  keys.set("stays", "4", std::nullopt);
  CHECK(keys.expiring() == 3);
  keys.set_time(1500);
  CHECK(!keys.expire(100));
  CHECK(value_of(keys, "lazy") == "1");
  keys.set_time(1501);
  CHECK(value_of(keys, "lazy") == "(none)");
  CHECK(keys.size() == 3);
  CHECK(!keys.expire(100));
  CHECK(keys.size() == 2);
  CHECK(keys.expiring() == 1);
  CHECK(keys.counted().expired == 2);
  keys.set_time(1'000'000);
  keys.expire(100);
  CHECK(keys.size() == 1);
  CHECK(value_of(keys, "stays") == "4");
}

TEST_CASE("expired keys are removed some at a time, earliest first") {
  keyspace keys;
  for (int i = 0; i < 1000; ++i) keys.set(std::to_string(i), "x", 1000 + i);
  keys.set_time(1501);
  CHECK(keys.expire(500));
  CHECK(keys.size() == 500);
  CHECK(keys.peek("501") != nullptr);
  CHECK(!keys.expire(500));
  CHECK(keys.size() == 499);
}

TEST_CASE("a deadline is kept, changed, added and taken away") {
  keyspace keys;
  keys.set("a", "1", 5000);
  keys.set_keeping("a", "a longer value than the first");
  CHECK(keys.peek("a")->due().at == 5000);
  keys.set_expiry("a", 7000);
  CHECK(keys.peek("a")->due().at == 7000);
  keys.set_expiry("a", std::nullopt);
  CHECK(!keys.peek("a")->expires());
  CHECK(keys.expiring() == 0);
  keys.set_expiry("a", 9000);
  CHECK(keys.peek("a")->due().at == 9000);
  CHECK(value_of(keys, "a") == "a longer value than the first");
  keys.set("a", "1", std::nullopt);
  CHECK(keys.expiring() == 0);
  keys.set_expiry("not there", 1);
  CHECK(keys.size() == 1);
}

TEST_CASE("a value that grows has zeros behind what it had, and keeps its deadline") {
  keyspace keys;
  keys.set("a", "abc", 5000);
  for (const std::size_t size : {10U, 100U, 10'000U, 10'001U}) {
    keys.resize("a", size);
    CHECK(value_of(keys, "a") == "abc" + std::string(size - 3, '\0'));
    CHECK(keys.peek("a")->due().at == 5000);
  }
  keys.resize("new", 4);
  CHECK(value_of(keys, "new") == std::string(4, '\0'));
  keys.set_time(5001);
  CHECK(!keys.expire(10));
  CHECK(keys.size() == 1);
}

TEST_CASE("memory is counted, and comes back") {
  keyspace keys;
  // Once, so that the table has the memory that it will have.
  for (int i = 0; i < 100; ++i) keys.set(std::to_string(i), "x", std::nullopt);
  for (int i = 0; i < 100; ++i) CHECK(keys.erase(std::to_string(i)));
  const auto at_first = keys.memory();
  for (int i = 0; i < 100; ++i)
    keys.set(std::to_string(i), std::string(1000, 'x'), i % 2 == 0 ? expiry(5) : std::nullopt);
  CHECK(keys.memory() >= at_first + 100 * 1000);
  CHECK(keys.memory() < at_first + 100 * 1100);
  for (int i = 0; i < 50; ++i) keys.resize(std::to_string(i), 3000);
  for (int i = 0; i < 100; ++i) keys.set(std::to_string(i), "short", std::nullopt);
  for (int i = 0; i < 100; ++i) CHECK(keys.erase(std::to_string(i)));
  CHECK(keys.memory() == at_first);
}

TEST_CASE("an expected key is found by its place, others by their hash") {
  keyspace keys;
  keys.set("a", "1", std::nullopt);
  keys.set("b", "2", std::nullopt);
  const std::string key = "a";
  const auto hash = keys.fetch(key);
  keys.fetch_item(hash);
  keys.expect(key, hash);
  CHECK(value_of(keys, key) == "1");
  CHECK(value_of(keys, "b") == "2");
  CHECK(value_of(keys, std::string("a")) == "1");
  keys.expect({}, 0);
  CHECK(value_of(keys, key) == "1");
}

TEST_CASE("hits and misses are counted, and a random key is one that is there") {
  keyspace keys;
  CHECK(keys.random() == nullptr);
  keys.set("gone", "x", 10);
  keys.set("there", "x", std::nullopt);
  keys.set_time(11);
  for (int i = 0; i < 20; ++i) CHECK(keys.random()->key() == "there");
  static_cast<void>(keys.find("there"));
  static_cast<void>(keys.find("gone"));
  CHECK(keys.counted().hits == 1);
  CHECK(keys.counted().misses == 1);
}

TEST_CASE("a large value keeps its memory when it gets another name or deadline") {
  keyspace keys;
  keys.set("a", std::string(3'000'000, 'x'), std::nullopt);
  const char* const block = keys.peek("a")->value().data();
  const auto memory = keys.memory();
  keys.set_expiry("a", 5000);
  CHECK(keys.peek("a")->value().data() == block);
  CHECK(keys.peek("a")->due().at == 5000);
  keys.set("b", std::string(2'000'000, 'y'), 7000);
  keys.rename("a", "b");
  CHECK(keys.peek("a") == nullptr);
  CHECK(keys.peek("b")->value().data() == block);
  CHECK(keys.peek("b")->due().at == 5000);
  CHECK(keys.expiring() == 1);
  keys.set_expiry("b", std::nullopt);
  keys.rename("b", "a");
  CHECK(keys.peek("a")->value() == std::string(3'000'000, 'x'));
  CHECK(keys.memory() == memory);
  CHECK(keys.size() == 1);
}

TEST_CASE("a value keeps its bytes on the way over the size at which it leaves its key's block") {
  keyspace keys;
  std::string expected;
  for (std::size_t size = 100; size < 60'000; size = size * 5 / 4) {
    keys.resize("a", size).value_data()[size - 1] = 'e';
    expected.resize(size, '\0');
    expected.back() = 'e';
    REQUIRE(value_of(keys, "a") == expected);
    keys.set_expiry("a", size % 2 == 0 ? expiry(5000) : std::nullopt);
    keys.rename("a", "b");
    keys.rename("b", "a");
    REQUIRE(value_of(keys, "a") == expected);
  }
  for (const std::size_t size : {8192U, 8193U, 100U, 9000U, 5000U, 8192U}) {
    keys.set("a", std::string(size, 'z'), std::nullopt);
    REQUIRE(value_of(keys, "a") == std::string(size, 'z'));
  }
}

TEST_CASE("what takes long to free waits for another thread, and is not counted any more") {
  keyspace keys;
  const auto at_first = keys.memory();
  keys.set("a", "small", std::nullopt);
  CHECK(keys.erase("a"));
  CHECK_FALSE(keys.has_garbage());
  for (int i = 0; i < 4; ++i) {
    keys.set("a", std::string(garbage::least, 'x'), 1000);
    switch (i) {
      case 0: keys.erase("a"); break;
      case 1: keys.set("a", "small", std::nullopt); break;
      case 2: keys.set_time(1001), keys.expire(1); break;
      default: keys.clear();
    }
    CHECK(keys.has_garbage());
    CHECK(keys.take_garbage() != nullptr);
    CHECK_FALSE(keys.has_garbage());
    keys.erase("a");
    CHECK(keys.memory() == at_first);
    CHECK(keys.expiring() == 0);
  }
}
