#include "weir/io/chunk.hpp"

#include <new>

namespace weir::io {

chunk_pool::~chunk_pool() {
  chunk_block::free(last_);
  while (free_ != nullptr) chunk_block::free(std::exchange(free_, free_->next));
}

// Never destroyed: chunks may outlive everything. Its place for the last buffer is taken for good, so that
// what is given back comes to give_back_another().
struct chunk_pool::without_end {
  constexpr without_end() noexcept : pool(taken) {}
  without_end(const without_end&) = delete;
  without_end& operator=(const without_end&) = delete;
  ~without_end() {}  // NOLINT(*-use-equals-default): it leaves `pool` alone
  static chunk_block taken;
  static without_end none;
  union {
    chunk_pool pool;
  };
};
constinit chunk_block chunk_pool::without_end::taken{};
constinit chunk_pool::without_end chunk_pool::without_end::none;

chunk_pool& chunk_pool::none() noexcept { return without_end::none.pool; }

chunk_block* chunk_pool::take_another() noexcept {
  if (free_ != nullptr) {
    --listed_;
    return std::exchange(free_, free_->next);
  }
  chunk_block* const block = chunk_block::make(capacity_, roaming_ ? none() : *this);
  if (block != nullptr && !roaming_) ++allocated_;
  return block;
}

void chunk_pool::give_back_another(chunk_block* block) noexcept {
  if (this == &none()) return chunk_block::free(block);
  if (!build::pools || listed_ + 1 >= idle_) {
    if (!roaming_) --allocated_;
    return chunk_block::free(block);
  }
  ++listed_;
  last_->next = free_;
  free_ = std::exchange(last_, block);
}

chunk_block* chunk_block::make(std::size_t capacity) noexcept { return make(capacity, chunk_pool::none()); }

chunk_block* chunk_block::make(std::size_t capacity, chunk_pool& home) noexcept {
  void* const memory = ::operator new(sizeof(chunk_block) + capacity, std::nothrow);
  return memory == nullptr ? nullptr : new (memory) chunk_block{nullptr, 0, &home, capacity};
}

void chunk_block::free(chunk_block* block) noexcept { ::operator delete(block); }

}  // namespace weir::io
