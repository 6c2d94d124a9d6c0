#pragma once
// kv: a key with its value and, if it has one, its deadline.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace kv {

using milliseconds_since_1970 = std::int64_t;

inline constexpr std::size_t longest_string_ever = 512 * 1024 * 1024;

// Header, deadline, key and value lie behind each other in one block of memory: 8 bytes beside key and value
// for an item that stays. A long value is a block of its own, so that a new name or deadline, which may need
// another item, moves a pointer and not the value. An item allocates and frees its own memory; the holder of
// the pointer owns it.
class item {
 public:
  static constexpr std::size_t longest_inside = 8192;  // bytes of a value that lies behind its key

  struct deadline {
    milliseconds_since_1970 at;
    std::uint32_t place;  // in the queue of deadlines
  };

  // The value is not written yet. Errors: std::bad_alloc.
  [[nodiscard]] static item* make(std::string_view key, std::size_t value_size, bool expires);
  // An item for the value of `from`, under that key and with or without a deadline; it has no value before
  // take_value(). Errors: std::bad_alloc.
  [[nodiscard]] static item* make_for(const item& from, std::string_view key, bool expires);
  // The value of what it was made for, which has none then if it was long.
  void take_value(item& from) noexcept;
  static void free(item* it) noexcept;

  // The same item with room for a value of that size, behind what it holds; its address may change. `more`:
  // bytes of room beside, because it will grow again. Errors: std::bad_alloc, and it is as it was.
  [[nodiscard]] static item* resized(item* it, std::size_t value_size, std::size_t more = 0);

  // True if a value of that size fits, and fills at least half of the block.
  [[nodiscard]] bool suits(std::size_t value_size) const noexcept;
  // For an item that suits or has just been resized.
  void set_value_size(std::size_t size) noexcept { value_size_ = static_cast<std::uint32_t>(size); }

  [[nodiscard]] std::string_view key() const noexcept { return {text(), key_size()}; }
  [[nodiscard]] std::string_view value() const noexcept { return {value_text(), value_size_}; }
  [[nodiscard]] char* value_data() noexcept { return const_cast<char*>(value_text()); }

  [[nodiscard]] bool expires() const noexcept { return (key_and_kind_ & expires_bit) != 0; }
  // Of an item that expires.
  [[nodiscard]] deadline& due() noexcept { return *reinterpret_cast<deadline*>(this + 1); }
  [[nodiscard]] const deadline& due() const noexcept { return *reinterpret_cast<const deadline*>(this + 1); }

  // Whether the value is a block of its own.
  [[nodiscard]] bool is_apart() const noexcept { return (key_and_kind_ & apart_bit) != 0; }

  // Bytes that it takes from the allocator.
  [[nodiscard]] std::size_t memory() const noexcept;

 private:
  static constexpr std::uint32_t expires_bit = 1U << 31;
  static constexpr std::uint32_t apart_bit = 1U << 30;

  item(std::string_view key, std::size_t value_size, bool expires, bool is_apart) noexcept;
  [[nodiscard]] static item* make_block(std::string_view key, std::size_t value_size, bool expires,
                                        bool is_apart);

  [[nodiscard]] std::size_t key_size() const noexcept { return key_and_kind_ & ~(expires_bit | apart_bit); }
  [[nodiscard]] std::size_t head_size() const noexcept {
    return sizeof(item) + (expires() ? sizeof(deadline) : 0);
  }
  [[nodiscard]] const char* text() const noexcept {
    return reinterpret_cast<const char*>(this) + head_size();
  }
  // Behind the key: the value, or the pointer to it, which is not aligned.
  [[nodiscard]] const char* value_text() const noexcept {
    const char* const behind = text() + key_size();
    return is_apart() ? pointer_at(behind) : behind;
  }
  [[nodiscard]] static char* pointer_at(const char* where) noexcept {
    char* out = nullptr;
    std::memcpy(&out, where, sizeof out);
    return out;
  }
  void set_block(char* block) noexcept {
    std::memcpy(const_cast<char*>(text()) + key_size(), &block, sizeof block);
  }
  [[nodiscard]] std::size_t room() const noexcept;

  std::uint32_t value_size_;
  std::uint32_t key_and_kind_;
};

}  // namespace kv
