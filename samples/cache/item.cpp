#include "item.hpp"

#include <malloc.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace cache {

item_ptr item::make(std::string_view key, std::uint32_t size, std::uint32_t more) noexcept {
  void* const memory = std::malloc(sizeof(item) + key.size() + size + more);
  if (memory == nullptr) return nullptr;
  item* const made = new (memory) item{};
  made->size = size & 0x7fffffff;
  made->key_size = static_cast<std::uint8_t>(key.size());
  std::memcpy(made->key_bytes(), key.data(), key.size());
  return item_ptr(made);
}

void item::deleter::operator()(item* i) const noexcept { std::free(i); }

std::size_t item::footprint() const noexcept {
  constexpr std::size_t header_of_malloc = 8;
  return ::malloc_usable_size(const_cast<item*>(this)) + header_of_malloc + share_of_table;
}

}  // namespace cache
