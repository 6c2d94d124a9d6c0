#include "item.hpp"

#include <malloc.h>

#include <cstdlib>
#include <new>

namespace kv {

item::item(std::string_view key, std::size_t value_size, bool expires, bool is_apart) noexcept
    : value_size_(static_cast<std::uint32_t>(value_size)),
      key_and_kind_(static_cast<std::uint32_t>(key.size()) | (expires ? expires_bit : 0) |
                    (is_apart ? apart_bit : 0)) {
  if (expires) new (this + 1) deadline{};
  if (!key.empty()) std::memcpy(const_cast<char*>(text()), key.data(), key.size());
}

item* item::make_block(std::string_view key, std::size_t value_size, bool expires, bool is_apart) {
  static_assert(sizeof(item) == 8 && sizeof(deadline) == 16 && alignof(deadline) <= sizeof(item));
  void* const block = std::malloc(sizeof(item) + (expires ? sizeof(deadline) : 0) + key.size() +
                                  (is_apart ? sizeof(char*) : value_size));
  if (block == nullptr) throw std::bad_alloc();
  return new (block) item(key, value_size, expires, is_apart);
}

item* item::make(std::string_view key, std::size_t value_size, bool expires) {
  const bool is_apart = value_size > longest_inside;
  item* const made = make_block(key, value_size, expires, is_apart);
  if (!is_apart) return made;
  char* const block = static_cast<char*>(std::malloc(value_size));
  if (block == nullptr) {
    std::free(made);
    throw std::bad_alloc();
  }
  made->set_block(block);
  return made;
}

item* item::make_for(const item& from, std::string_view key, bool expires) {
  item* const made = make_block(key, from.value_size_, expires, from.is_apart());
  if (from.is_apart()) made->set_block(nullptr);
  made->value_size_ = 0;
  return made;
}

void item::take_value(item& from) noexcept {
  value_size_ = from.value_size_;
  if (from.is_apart()) {
    set_block(from.value_data());
    from.set_block(nullptr);
    from.value_size_ = 0;
  } else if (value_size_ != 0) {
    std::memcpy(value_data(), from.value().data(), value_size_);
  }
}

void item::free(item* it) noexcept {
  if (it == nullptr) return;
  if (it->is_apart()) std::free(it->value_data());
  std::free(it);
}

item* item::resized(item* it, std::size_t value_size, std::size_t more) {
  if (value_size > it->room()) {
    if (it->is_apart()) {
      void* const block = std::realloc(it->value_data(), value_size + more);
      if (block == nullptr) throw std::bad_alloc();
      it->set_block(static_cast<char*>(block));
    } else if (value_size > longest_inside) {
      item* const made = make(it->key(), value_size + more, it->expires());
      std::memcpy(made->value_data(), it->value().data(), it->value_size_);
      if (it->expires()) made->due() = it->due();
      std::free(it);
      it = made;
    } else {
      void* const block = std::realloc(it, it->head_size() + it->key_size() + value_size + more);
      if (block == nullptr) throw std::bad_alloc();
      it = static_cast<item*>(block);
    }
  }
  it->set_value_size(value_size);
  return it;
}

// Bytes of the longest value that fits.
std::size_t item::room() const noexcept {
  if (is_apart()) return ::malloc_usable_size(const_cast<char*>(value_text()));
  return ::malloc_usable_size(const_cast<item*>(this)) - head_size() - key_size();
}

bool item::suits(std::size_t value_size) const noexcept {
  const std::size_t has = is_apart() ? room() : ::malloc_usable_size(const_cast<item*>(this));
  const std::size_t wanted = is_apart() ? value_size : head_size() + key_size() + value_size;
  return wanted <= has && (wanted >= has / 2 || has <= 64);
}

std::size_t item::memory() const noexcept {
  return ::malloc_usable_size(const_cast<item*>(this)) + (is_apart() ? room() : 0);
}

}  // namespace kv
