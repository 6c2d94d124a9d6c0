#include "weir/distribute/detail/fair_share.hpp"

#include <catch2/catch.hpp>

using namespace weir;

TEST_CASE("a share is the least load and a small slack") {
  CHECK(most_beside(0) == 2);
  CHECK(most_beside(24) == 29);
  CHECK(most_beside(800) == 902);
}

TEST_CASE("beside no sibling that takes connections every load is within the share") {
  CHECK(most_beside(UINT32_MAX) == UINT32_MAX);
}

// With less it would be told at once, and ask again without end.
TEST_CASE("a load that is above its share waits for exactly what brings it within") {
  for (std::uint32_t own = 0; own < 2000; ++own) {
    CAPTURE(own);
    const auto needed = least_needed_for(own);
    CHECK((needed == 0 || own > most_beside(needed - 1)));
    CHECK(own <= most_beside(needed));
  }
}
