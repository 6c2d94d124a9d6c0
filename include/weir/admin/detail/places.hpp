#pragma once
// admin: the figures of a server, added up for each of its loops.

#include <cstdint>
#include <vector>

#include "weir/observe/detail/ledger.hpp"

namespace weir::admin {

// What the loops of one worker and core have counted, one after another and side by side.
struct place {
  static constexpr std::uint16_t threads = UINT16_MAX;  // instead of a core: all threads of that worker

  std::uint16_t worker = 0;
  std::uint16_t core = 0;
  observe::figures sums{};

  [[nodiscard]] std::uint64_t operator[](observe::figure f) const noexcept { return sums[f].read(); }
  // Connections that are open: every one that was begun ends as one of these.
  [[nodiscard]] std::uint64_t open() const noexcept;
};

// In the order of workers and their cores. Errors: std::bad_alloc.
[[nodiscard]] std::vector<place> places_of(const observe::ledger& all);

// The measurements of one place; of all places without one.
[[nodiscard]] observe::histogram_view measured_in(const observe::ledger& all, observe::measure m,
                                                  const place* only = nullptr) noexcept;

}  // namespace weir::admin
