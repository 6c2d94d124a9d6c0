#pragma once
// dump: the memory of another process.

#include <sys/types.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <vector>

namespace weir::dump {

// The bytes of a T of another process, to be read as a T. Its pointers mean nothing here, the one to its
// virtual functions among them: only members are read, and functions that read only members.
template <class T>
class copy_of {
 public:
  [[nodiscard]] const T* operator->() const noexcept { return reinterpret_cast<const T*>(bytes_); }
  [[nodiscard]] const T& operator*() const noexcept { return *operator->(); }
  [[nodiscard]] void* memory() noexcept { return bytes_; }

 private:
  alignas(T) std::byte bytes_[sizeof(T)];
};

// Bytes that were copied from there. Addresses come from the other process and may be any number: no sum of
// one is made, as it could pass the end of all numbers.
struct copied_memory {
  std::uintptr_t start = 0;
  std::vector<std::byte> bytes;

  // All of it, or false. Thread: any.
  [[nodiscard]] bool read(std::uintptr_t at, void* into, std::size_t size) const noexcept {
    if (at < start || at - start > bytes.size() || size > bytes.size() - (at - start)) return false;
    std::copy_n(bytes.data() + (at - start), size, static_cast<std::byte*>(into));
    return true;
  }
};

// Thread: any.
class remote_memory {
 public:
  explicit remote_memory(::pid_t process) noexcept : process_(process) {}

  // All of it, or false.
  [[nodiscard]] bool read(std::uintptr_t at, void* into, std::size_t size) const noexcept;

  template <class T>
  [[nodiscard]] bool read(std::uintptr_t at, copy_of<T>& into) const noexcept {
    return at % alignof(T) == 0 && read(at, into.memory(), sizeof(T));
  }
  template <class T>
  [[nodiscard]] bool read(const T* at, copy_of<T>& into) const noexcept {
    return read(reinterpret_cast<std::uintptr_t>(at), into);
  }
  // Up to `most` bytes: fewer if the memory ends before; none if there is none.
  [[nodiscard]] std::vector<std::byte> piece(std::uintptr_t at, std::size_t most) const;
  // 0 if it cannot be read.
  [[nodiscard]] std::uintptr_t word(std::uintptr_t at) const noexcept;

 private:
  ::pid_t process_;
};

}  // namespace weir::dump
