#include "weir/admin/detail/places.hpp"

#include <algorithm>
#include <tuple>

namespace weir::admin {

using observe::figure;

std::uint64_t place::open() const noexcept {
  const auto& self = *this;
  // A connection that has ended meanwhile may be counted in the second alone.
  const std::uint64_t ended = self[figure::peer_closed] + self[figure::peer_reset] + self[figure::idle] +
                              self[figure::stopping] + self[figure::closed] + self[figure::moved];
  const std::uint64_t begun = self[figure::accepted];
  return begun > ended ? begun - ended : 0;
}

std::vector<place> places_of(const observe::ledger& all) {
  std::vector<place> out;
  out.reserve(all.used().size() + 1);
  const auto add = [&](std::uint16_t worker, std::uint16_t core, const observe::figures& counted) {
    auto at = std::find_if(out.begin(), out.end(),
                           [&](const place& p) { return p.worker == worker && p.core == core; });
    if (at == out.end()) at = out.insert(at, {worker, core, {}});
    for (std::size_t i = 0; i < observe::figures_count; ++i) at->sums.each[i].add(counted.each[i].read());
  };
  for (const observe::block& b : all.used())
    if (const auto whose = b.whose.load(); whose.now != observe::block::owner::state::free)
      add(whose.worker, whose.core, b.counted);
  for (const observe::thread_block& b : all.used_threads())
    if (const auto whose = b.whose.load(); whose.now != observe::block::owner::state::free)
      add(whose.worker, place::threads, b.counted);
  std::sort(out.begin(), out.end(), [](const place& a, const place& b) {
    return std::tie(a.worker, a.core) < std::tie(b.worker, b.core);
  });
  return out;
}

observe::histogram_view measured_in(const observe::ledger& all, observe::measure m,
                                    const place* only) noexcept {
  observe::histogram_view out;
  for (const observe::block& b : all.used()) {
    const auto whose = b.whose.load();
    if (whose.now == observe::block::owner::state::free) continue;
    if (only != nullptr && (whose.worker != only->worker || whose.core != only->core)) continue;
    out.add(b.measured[static_cast<std::size_t>(m)]);
  }
  return out;
}

}  // namespace weir::admin
