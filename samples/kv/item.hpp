#pragma once
// kv: a key with its value and, if it has one, its deadline, in one block of memory.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace kv {

using milliseconds_since_1970 = std::int64_t;

inline constexpr std::size_t longest_string_ever = 512 * 1024 * 1024;

// Header, deadline, key and value lie behind each other: 8 bytes beside key and value for an item that stays.
// It allocates and frees its own block; the holder of the pointer owns it.
class item {
 public:
  struct deadline {
    milliseconds_since_1970 at;
    std::uint32_t place;  // in the queue of deadlines
  };

  // The value is not written yet. Errors: std::bad_alloc.
  [[nodiscard]] static item* make(std::string_view key, std::size_t value_size, bool expires);
  static void free(item* it) noexcept;

  // The same item with room for a value of that size, behind what it holds; its address may change. `more`:
  // bytes of room beside, because it will grow again. Errors: std::bad_alloc, and it is as it was.
  [[nodiscard]] static item* resized(item* it, std::size_t value_size, std::size_t more = 0);

  // True if a value of that size fits, and fills at least half of the block.
  [[nodiscard]] bool suits(std::size_t value_size) const noexcept;
  // For an item that suits or has just been resized.
  void set_value_size(std::size_t size) noexcept { value_size_ = static_cast<std::uint32_t>(size); }

  [[nodiscard]] std::string_view key() const noexcept { return {text(), key_size()}; }
  [[nodiscard]] std::string_view value() const noexcept { return {text() + key_size(), value_size_}; }
  [[nodiscard]] char* value_data() noexcept { return const_cast<char*>(text()) + key_size(); }

  [[nodiscard]] bool expires() const noexcept { return (key_and_kind_ & expires_bit) != 0; }
  // Of an item that expires.
  [[nodiscard]] deadline& due() noexcept { return *reinterpret_cast<deadline*>(this + 1); }
  [[nodiscard]] const deadline& due() const noexcept { return *reinterpret_cast<const deadline*>(this + 1); }

  // Bytes that it takes from the allocator.
  [[nodiscard]] std::size_t memory() const noexcept;

 private:
  static constexpr std::uint32_t expires_bit = 1U << 31;

  item(std::string_view key, std::size_t value_size, bool expires) noexcept;

  [[nodiscard]] std::size_t key_size() const noexcept { return key_and_kind_ & ~expires_bit; }
  [[nodiscard]] std::size_t head_size() const noexcept {
    return sizeof(item) + (expires() ? sizeof(deadline) : 0);
  }
  [[nodiscard]] const char* text() const noexcept {
    return reinterpret_cast<const char*>(this) + head_size();
  }

  std::uint32_t value_size_;
  std::uint32_t key_and_kind_;
};

}  // namespace kv
