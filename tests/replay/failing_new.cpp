#include "replay/failing_new.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

constinit thread_local std::uint64_t until_failure = 0;

void* allocated(std::size_t size) noexcept {
  if (until_failure != 0 && --until_failure == 0) return nullptr;
  return std::malloc(size == 0 ? 1 : size);
}

}  // namespace

void test::fail_allocation(std::uint64_t n) noexcept { until_failure = n; }

// All that come in pairs with these go to them, or, under a sanitizer, to its own.
void* operator new(std::size_t size) {
  if (void* const made = allocated(size)) return made;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocated(size); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { std::free(block); }
