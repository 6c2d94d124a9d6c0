#include "item.hpp"

#include <malloc.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace kv {

item::item(std::string_view key, std::size_t value_size, bool expires) noexcept
    : value_size_(static_cast<std::uint32_t>(value_size)),
      key_and_kind_(static_cast<std::uint32_t>(key.size()) | (expires ? expires_bit : 0)) {
  if (expires) new (this + 1) deadline{};
  if (!key.empty()) std::memcpy(const_cast<char*>(text()), key.data(), key.size());
}

item* item::make(std::string_view key, std::size_t value_size, bool expires) {
  static_assert(sizeof(item) == 8 && sizeof(deadline) == 16 && alignof(deadline) <= sizeof(item));
  void* const block = std::malloc(sizeof(item) + (expires ? sizeof(deadline) : 0) + key.size() + value_size);
  if (block == nullptr) throw std::bad_alloc();
  return new (block) item(key, value_size, expires);
}

void item::free(item* it) noexcept { std::free(it); }

item* item::resized(item* it, std::size_t value_size, std::size_t more) {
  const std::size_t wanted = it->head_size() + it->key_size() + value_size;
  if (wanted > it->memory()) {
    void* const block = std::realloc(it, wanted + more);
    if (block == nullptr) throw std::bad_alloc();
    it = static_cast<item*>(block);
  }
  it->set_value_size(value_size);
  return it;
}

bool item::suits(std::size_t value_size) const noexcept {
  const std::size_t wanted = head_size() + key_size() + value_size;
  const std::size_t has = memory();
  return wanted <= has && (wanted >= has / 2 || has <= 64);
}

std::size_t item::memory() const noexcept { return ::malloc_usable_size(const_cast<item*>(this)); }

}  // namespace kv
