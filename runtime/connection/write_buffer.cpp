#include "weir/connection/write_buffer.hpp"

#include <algorithm>
#include <cstring>
#include <new>

namespace weir {

void write_buffer::make_room(std::size_t size) {
  const std::size_t used = pending();
  io::chunk_block* bigger = nullptr;
  if (block_ == nullptr && pool_ != nullptr && size <= pool_->capacity())
    bigger = pool_->take();
  else
    bigger = io::chunk_block::make(std::max(used + size, 2 * (block_ == nullptr ? 0 : block_->capacity)));
  if (bigger == nullptr) throw std::bad_alloc();
  char* const start = reinterpret_cast<char*>(bigger->data());
  if (used != 0) std::memcpy(start, begin_, used);
  clear();
  block_ = bigger;
  begin_ = start;
  end_ = start + used;
  room_ = bigger->capacity - used;
}

}  // namespace weir
