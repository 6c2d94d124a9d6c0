#include "weir/task/detail/block_pool.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

#include "weir/base/detail/build.hpp"

using namespace weir;

namespace {

// Each test takes a size of its own.
constexpr std::size_t own_size(std::size_t n) { return 1100 + 16 * n; }

// Whether the block is handed out again once the blocks that are free already have been.
bool is_handed_out(const void* block, std::size_t size) {
  std::vector<void*> taken;
  bool found = false;
  while (!found && taken.size() < 1000) {
    taken.push_back(block_pool::allocate(size));
    found = taken.back() == block;
  }
  for (void* const each : taken) block_pool::deallocate(each, size);
  return found;
}

void* allocated_elsewhere(std::size_t size) {
  void* block = nullptr;
  std::jthread([&] { block = block_pool::allocate(size); }).join();
  return block;
}

void freed_elsewhere(void* block, std::size_t size) {
  std::jthread([=] { block_pool::deallocate(block, size); }).join();
}

}  // namespace

TEST_CASE("blocks of every size are aligned and do not overlap") {
  struct piece {
    unsigned char* at;
    std::size_t size;
  };
  std::vector<piece> pieces;
  for (int round = 0; round < 3; ++round) {
    for (std::size_t size = 0; size < 4200; size = size < 64 ? size + 1 : size + 61) {
      auto* const at = static_cast<unsigned char*>(block_pool::allocate(size));
      CHECK(reinterpret_cast<std::uintptr_t>(at) % alignof(std::max_align_t) == 0);
      std::memset(at, static_cast<int>(pieces.size() % 251), size);
      pieces.push_back({at, size});
    }
  }
  bool intact = true;
  for (std::size_t i = 0; i < pieces.size(); ++i)
    for (std::size_t j = 0; j < pieces[i].size; ++j) intact = intact && pieces[i].at[j] == i % 251;
  CHECK(intact);
  for (const auto& each : pieces) block_pool::deallocate(each.at, each.size);
}

TEST_CASE("the block that was freed last is the next one of its size, and of no other") {
  if (!build::pools) return;
  void* const first = block_pool::allocate(200);
  void* const second = block_pool::allocate(200);
  block_pool::deallocate(first, 200);
  block_pool::deallocate(second, 200);
  void* const other = block_pool::allocate(300);
  CHECK(other != first);
  CHECK(other != second);
  CHECK(block_pool::allocate(208) == second);  // the same step of 16 bytes
  CHECK(block_pool::allocate(193) == first);
  block_pool::deallocate(first, 200);
  block_pool::deallocate(second, 200);
  block_pool::deallocate(other, 300);
}

TEST_CASE("a block that is freed on another thread comes home when the home list runs dry") {
  if (!build::pools) return;
  void* const block = block_pool::allocate(own_size(0));
  freed_elsewhere(block, own_size(0));
  CHECK(is_handed_out(block, own_size(0)));
}

TEST_CASE("a thread that frees another's block does not get it") {
  if (!build::pools) return;
  void* const block = block_pool::allocate(own_size(1));
  void* elsewhere = nullptr;
  std::jthread([&] {
    block_pool::deallocate(block, own_size(1));
    elsewhere = block_pool::allocate(own_size(1));
    block_pool::deallocate(elsewhere, own_size(1));
  }).join();
  CHECK(elsewhere != block);
}

TEST_CASE("the next thread that starts takes over the pool of one that has ended") {
  if (!build::pools) return;
  void* first = nullptr;
  std::jthread([&] {
    first = block_pool::allocate(own_size(2));
    block_pool::deallocate(first, own_size(2));
  }).join();
  void* const second = allocated_elsewhere(own_size(2));
  CHECK(second == first);
  freed_elsewhere(second, own_size(2));
}

TEST_CASE("a block outlives its thread, and goes back to the thread that has its pool then") {
  void* const block = allocated_elsewhere(own_size(3));
  std::memset(block, 1, own_size(3));
  block_pool::deallocate(block, own_size(3));
  void* const again = allocated_elsewhere(own_size(3));
  if (build::pools) CHECK(again == block);
  block_pool::deallocate(again, own_size(3));
}

TEST_CASE("threads that free each other's blocks lose none and hand none out twice") {
  constexpr int threads = 3;
  constexpr int turns = 20000;
  struct block {
    void* at;
    std::size_t size;
  };
  std::mutex mutex;
  std::vector<block> shared;
  std::atomic<bool> spoilt{false};
  {
    std::vector<std::jthread> all;
    for (int t = 0; t < threads; ++t) {
      all.emplace_back([&, t] {
        for (int i = 0; i < turns; ++i) {
          const std::size_t size = 32 + 16 * static_cast<std::size_t>((i * 7 + t) % 20);
          auto* const at = static_cast<unsigned char*>(block_pool::allocate(size));
          std::memset(at, static_cast<int>(size % 251), size);
          block taken{nullptr, 0};
          {
            const std::lock_guard lock(mutex);
            shared.push_back({at, size});
            if (shared.size() > 64) {
              std::swap(shared[static_cast<std::size_t>(i) % 64], shared.back());
              taken = shared.back();
              shared.pop_back();
            }
          }
          if (taken.at == nullptr) continue;
          const auto* const bytes = static_cast<const unsigned char*>(taken.at);
          for (std::size_t j = 0; j < taken.size; ++j)
            if (bytes[j] != taken.size % 251) spoilt = true;
          block_pool::deallocate(taken.at, taken.size);
        }
      });
    }
  }
  CHECK_FALSE(spoilt);
  for (const auto& left : shared) block_pool::deallocate(left.at, left.size);
}
