#pragma once
// tests: an operator new that fails when it is told to.

#include <cstdint>

namespace test {

// The n-th allocation of this thread from now on fails, once; 0: none.
void fail_allocation(std::uint64_t n) noexcept;

}  // namespace test
