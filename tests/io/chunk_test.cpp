#include "weir/io/chunk.hpp"

#include <catch2/catch.hpp>

#include <cstring>
#include <string>
#include <utility>

using namespace weir;

namespace {

chunk filled(io::chunk_pool& pool, std::string_view text) {
  auto* const block = pool.take();
  REQUIRE(block != nullptr);
  std::memcpy(block->data(), text.data(), text.size());
  return {block->data(), text.size()};
}

}  // namespace

TEST_CASE("a pool gives the buffer that came back last") {
  io::chunk_pool pool(1000, 8);
  auto* const first = pool.take();
  auto* const second = pool.take();
  REQUIRE(first != nullptr);
  REQUIRE(second != nullptr);
  CHECK(first != second);
  CHECK(first->capacity == 1000);
  CHECK(io::chunk_block::of(first->data()) == first);
  pool.give_back(first);
  pool.give_back(second);
  if (build::pools) {
    CHECK(pool.kept() == 2);
    auto* const again = pool.take();
    CHECK(again == second);
    pool.give_back(again);
  }
}

TEST_CASE("a pool keeps no more unused buffers than it was told") {
  io::chunk_pool pool(64, 2);
  io::chunk_block* blocks[5];
  for (auto& b : blocks) b = pool.take();
  for (auto* const b : blocks) pool.give_back(b);
  CHECK(pool.kept() == (build::pools ? 2 : 0));
}

TEST_CASE("a chunk gives its buffer back when it dies, and only then") {
  io::chunk_pool pool(64, 2);
  {
    const auto c = filled(pool, "abc");
    CHECK(pool.kept() == 0);
  }
  CHECK(pool.kept() == (build::pools ? 1 : 0));
}

TEST_CASE("a chunk shows its bytes and moves without copying them") {
  io::chunk_pool pool(64, 2);
  auto first = filled(pool, "abc");
  const auto* const at = first.data();
  CHECK(first);
  CHECK(first.size() == 3);
  CHECK(first.text() == "abc");
  CHECK(first.bytes().size() == 3);
  auto second = std::move(first);
  CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move): that is the question
  CHECK(second.data() == at);
  auto third = filled(pool, "xyz");
  third = std::move(second);
  CHECK(third.text() == "abc");
  const chunk none;
  CHECK_FALSE(none);
}

TEST_CASE("a buffer of another size belongs to no pool and is freed when it is released") {
  auto* const block = io::chunk_block::make(100'000);
  REQUIRE(block != nullptr);
  CHECK(block->home == &io::chunk_pool::none());
  CHECK(block->capacity == 100'000);
  std::memset(block->data(), 1, block->capacity);
  io::chunk_block::release(block);
}

TEST_CASE("a buffer of a pool goes back to it when it is released") {
  io::chunk_pool pool(64, 2);
  io::chunk_block::release(pool.take());
  CHECK(pool.kept() == (build::pools ? 1 : 0));
}
