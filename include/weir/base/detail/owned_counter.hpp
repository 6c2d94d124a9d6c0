#pragma once
// base: a count that one thread writes and any thread, or any process, reads.

#include <cstdint>

#include "weir/base/detail/build.hpp"

namespace weir {

// Problem: a std::atomic that is loaded, added to and stored costs three instructions and a register, because
// compilers do not put the three together. One instruction of the processor that adds to memory is as good
// for readers: they see the old or the new value. Its memory may be shared with other processes.
// Thread: add() and set(): the owner's, unless every writer uses add_from_any(). read(): any.
struct owned_counter {
  std::uint64_t value;

  [[gnu::always_inline]] void add(std::uint64_t n) noexcept {
#if defined(__x86_64__)
    if constexpr (!build::sanitized) {
      asm("addq %1, %0" : "+m"(value) : "er"(n) : "cc");
      return;
    }
#endif
    __atomic_store_n(&value, __atomic_load_n(&value, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
  }
  void set(std::uint64_t n) noexcept { __atomic_store_n(&value, n, __ATOMIC_RELAXED); }
  void add_from_any(std::uint64_t n) noexcept { __atomic_fetch_add(&value, n, __ATOMIC_RELAXED); }
  [[nodiscard]] std::uint64_t read() const noexcept { return __atomic_load_n(&value, __ATOMIC_RELAXED); }
};

}  // namespace weir
