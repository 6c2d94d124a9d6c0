#pragma once
// admin: the figures of a server, added up for each of its loops.

#include <cstdint>
#include <vector>

#include "weir/config/settings.hpp"
#include "weir/observe/detail/ledger.hpp"

namespace weir::admin {

// What the loops of one worker, core and model have counted, one after another and side by side.
struct place {
  static constexpr std::uint16_t threads = UINT16_MAX;  // instead of a core: all threads of that worker

  std::uint16_t worker = 0;
  std::uint16_t core = 0;
  model_kind model{};
  observe::figures sums{};
  std::uint64_t ended_by_threads = 0;  // of its connections, where handlers run on other threads

  [[nodiscard]] std::uint64_t operator[](observe::figure f) const noexcept { return sums[f].read(); }
  // Connections that have ended, counted here.
  [[nodiscard]] std::uint64_t ended() const noexcept;
  // Connections that are open: every one that was begun ends, here or on a thread.
  [[nodiscard]] std::uint64_t open() const noexcept;
};

// In the order of workers and their cores. Errors: std::bad_alloc.
[[nodiscard]] std::vector<place> places_of(const observe::ledger& all);

// The models of places, each once.
[[nodiscard]] std::vector<model_kind> models_in(const std::vector<place>& all);

// The measurements of one place; of all places of one model; of all.
[[nodiscard]] observe::histogram_view measured_in(const observe::ledger& all, observe::measure m,
                                                  const place& only) noexcept;
[[nodiscard]] observe::histogram_view measured_in(const observe::ledger& all, observe::measure m,
                                                  model_kind only) noexcept;
[[nodiscard]] observe::histogram_view measured_in(const observe::ledger& all, observe::measure m) noexcept;

}  // namespace weir::admin
