#include "weir/io/chunk.hpp"

#include <new>

namespace weir::io {

chunk_pool::~chunk_pool() {
  while (free_ != nullptr) chunk_block::free(std::exchange(free_, free_->next));
}

bool chunk_pool::grow() noexcept {
  chunk_block* const block = chunk_block::make(capacity_, home());
  if (block == nullptr) return false;
  ++kept_;
  block->next = free_;
  free_ = block;
  return true;
}

chunk_block* chunk_block::make(std::size_t capacity, chunk_pool* home) noexcept {
  void* const memory = ::operator new(sizeof(chunk_block) + capacity, std::nothrow);
  return memory == nullptr ? nullptr : new (memory) chunk_block{nullptr, home, capacity};
}

void chunk_block::free(chunk_block* block) noexcept { ::operator delete(block); }

}  // namespace weir::io
