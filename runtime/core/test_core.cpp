#include "weir/core/test_core.hpp"

namespace weir {

void test_core::settle() {
  while (core_.poll() != 0) {
  }
}

void test_core::advance(saturated_duration d) {
  settle();
  while (!d.is_over()) {
    d = clock_.advance_to_next(d);
    settle();
  }
}

}  // namespace weir
