#include "weir/task/detail/block_pool.hpp"

#include <pthread.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "weir/base/detail/build.hpp"

namespace weir {
namespace {

constexpr std::size_t slab_size = 65536;
constexpr std::size_t slabs_at_once = 16;  // after the first: alignment costs two pages each time
constexpr std::size_t step = 16;
constexpr std::size_t largest = 2048;

std::atomic<std::size_t> slabs_taken{0};

struct free_block {
  free_block* next;
};

struct pool;

struct alignas(64) slab {  // at a multiple of its size, so that a block finds it
  pool* home;
};

struct pool {
  std::array<free_block*, largest / step> free{};
  std::byte* fresh = nullptr;  // never used memory of the newest slab
  std::size_t fresh_size = 0;
  std::byte* slabs = nullptr;  // never used, behind the newest one
  std::size_t slabs_left = 0;
  bool has_slabs = false;
  std::atomic<free_block*> remote{nullptr};

  void* refill(std::size_t size);
  std::byte* next_slab();
  void collect_remote() noexcept;
};

struct remote_block : free_block {
  std::size_t size;
};
static_assert(sizeof(remote_block) <= step);

// Pools are immortal and pass from thread to thread.
struct registry {
  std::mutex mutex;
  std::vector<pool*> all;
  std::vector<pool*> idle;

  static registry& instance() {
    static auto* const r = new registry;
    return *r;
  }
};

pool* acquire() {
  auto& r = registry::instance();
  const std::lock_guard lock(r.mutex);
  if (r.idle.empty()) {
    r.idle.reserve(r.all.size() + 1);  // so that giving back cannot throw
    r.all.reserve(r.all.size() + 1);
    return r.all.emplace_back(new pool);
  }
  auto* const p = r.idle.back();
  r.idle.pop_back();
  return p;
}

constinit thread_local pool* mine = nullptr;

// Called at the end of a thread, after its thread-local destructors; again if another such call takes a pool.
void give_back(void* held) {
  mine = nullptr;
  auto& r = registry::instance();
  const std::lock_guard lock(r.mutex);
  r.idle.push_back(static_cast<pool*>(held));
}

// A thread-local object with a destructor would do as well, but glibc ends the program if it has no memory to
// register one.
::pthread_key_t end_of_thread() {
  static const ::pthread_key_t key = [] {
    ::pthread_key_t made;
    if (::pthread_key_create(&made, give_back) != 0) throw std::bad_alloc();
    return made;
  }();
  return key;
}

[[gnu::noinline]] pool* adopt() {
  const ::pthread_key_t key = end_of_thread();
  pool* const taken = acquire();
  if (::pthread_setspecific(key, taken) != 0) {
    give_back(taken);
    throw std::bad_alloc();
  }
  return mine = taken;
}

void pool::collect_remote() noexcept {
  auto* block = remote.exchange(nullptr, std::memory_order_acquire);
  while (block != nullptr) {
    auto* const next = block->next;
    auto& list = free[(static_cast<remote_block*>(block)->size - 1) / step];
    block->next = list;
    list = block;
    block = next;
  }
}

std::byte* pool::next_slab() {
  if (slabs_left == 0) {
    std::size_t count = has_slabs ? slabs_at_once : 1;
    void* memory = std::aligned_alloc(slab_size, count * slab_size);
    if (memory == nullptr) memory = std::aligned_alloc(slab_size, (count = 1) * slab_size);
    if (memory == nullptr) throw std::bad_alloc();
    slabs_taken.fetch_add(count, std::memory_order_relaxed);
    slabs = static_cast<std::byte*>(memory);
    slabs_left = count;
    has_slabs = true;
  }
  --slabs_left;
  return std::exchange(slabs, slabs + slab_size);
}

[[gnu::noinline]] void* pool::refill(std::size_t size) {
  auto& list = free[(size - 1) / step];
  collect_remote();
  if (list != nullptr) {
    auto* const block = list;
    list = block->next;
    return block;
  }
  const std::size_t rounded = (size + step - 1) / step * step;
  if (fresh_size < rounded) {
    std::byte* const memory = next_slab();
    new (memory) slab{this};
    fresh = memory + sizeof(slab);
    fresh_size = slab_size - sizeof(slab);
  }
  fresh_size -= rounded;
  return std::exchange(fresh, fresh + rounded);
}

pool* home_of(void* block) {
  return reinterpret_cast<slab*>(reinterpret_cast<std::uintptr_t>(block) & ~(slab_size - 1))->home;
}

}  // namespace

void* block_pool::allocate(std::size_t size) {
  if (!build::pools || size > largest || size == 0) return ::operator new(size);
  auto* const p = mine != nullptr ? mine : adopt();
  auto& list = p->free[(size - 1) / step];
  auto* const block = list;
  if (block == nullptr) return p->refill(size);
  list = block->next;
  return block;
}

std::size_t block_pool::bytes() noexcept { return slabs_taken.load(std::memory_order_relaxed) * slab_size; }

void block_pool::deallocate(void* block, std::size_t size) noexcept {
  if (!build::pools || size > largest || size == 0) return ::operator delete(block);
  auto* const home = home_of(block);
  if (home == mine) {
    auto& list = home->free[(size - 1) / step];
    list = new (block) free_block{list};
    return;
  }
  auto* const away = new (block) remote_block{{nullptr}, size};
  away->next = home->remote.load(std::memory_order_relaxed);
  while (!home->remote.compare_exchange_weak(away->next, away, std::memory_order_release,
                                             std::memory_order_relaxed)) {
  }
}

}  // namespace weir
