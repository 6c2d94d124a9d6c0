#include "weir/connection/write_buffer.hpp"

#include <algorithm>
#include <cstring>
#include <new>

#include "weir/io/detail/driver.hpp"

namespace weir {

void write_buffer::make_room(std::size_t size) {
  const std::size_t used = pending();
  io::chunk_block* bigger = nullptr;
  io::chunk_pool* const pool = on_ == nullptr || on_->driver == nullptr ? nullptr : &on_->driver->chunks();
  if (block_ == nullptr && pool != nullptr && size <= pool->capacity())
    bigger = pool->take();
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
