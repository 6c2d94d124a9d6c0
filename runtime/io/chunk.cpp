#include "weir/io/chunk.hpp"

#include <new>

namespace weir::io {

chunk_pool::~chunk_pool() {
  chunk_block::free(last_);
  while (free_ != nullptr) chunk_block::free(std::exchange(free_, free_->next));
}

bool chunk_pool::grow() noexcept {
  chunk_block* const block = make();
  if (block == nullptr) return false;
  ++listed_;
  block->next = free_;
  free_ = block;
  return true;
}

chunk_block* chunk_pool::make() noexcept {
  chunk_block* const block = chunk_block::make(capacity_, home());
  if (block != nullptr && !roaming_) ++allocated_;
  return block;
}

chunk_block* chunk_pool::take_listed() noexcept {
  if (free_ == nullptr) return nullptr;
  --listed_;
  return std::exchange(free_, free_->next);
}

void chunk_pool::give_back_another(chunk_block* block) noexcept {
  if (!build::pools || listed_ + 1 >= idle_) {
    --allocated_;
    return chunk_block::free(block);
  }
  ++listed_;
  last_->next = free_;
  free_ = std::exchange(last_, block);
}

chunk_block* chunk_block::make(std::size_t capacity, chunk_pool* home) noexcept {
  void* const memory = ::operator new(sizeof(chunk_block) + capacity, std::nothrow);
  return memory == nullptr ? nullptr : new (memory) chunk_block{nullptr, 0, home, capacity};
}

void chunk_block::free(chunk_block* block) noexcept { ::operator delete(block); }

}  // namespace weir::io
