#include "weir/admin/detail/places.hpp"

#include <algorithm>
#include <tuple>

namespace weir::admin {

using observe::figure;

std::uint64_t place::ended() const noexcept {
  const auto& self = *this;
  return self[figure::peer_closed] + self[figure::peer_reset] + self[figure::idle] + self[figure::stopping] +
         self[figure::closed] + self[figure::moved];
}

std::uint64_t place::open() const noexcept {
  // A connection that has ended meanwhile may be counted in the second alone.
  const std::uint64_t gone = ended() + ended_by_threads;
  const std::uint64_t begun = (*this)[figure::accepted];
  return begun > gone ? begun - gone : 0;
}

namespace {

// A thread that runs a handler counts the end of a connection that a loop has begun. Which loop, where there
// are several, it does not tell: the sum over them is right.
void give_ends_to_loops(std::vector<place>& all) {
  for (place& of : all) {
    if (of.core != place::threads || of.ended() <= of[figure::accepted]) continue;
    std::uint64_t left = of.ended() - of[figure::accepted];
    for (place& loop : all) {
      if (loop.worker != of.worker || loop.model != of.model || loop.core == place::threads) continue;
      const std::uint64_t its = std::min(left, loop.open());
      loop.ended_by_threads += its;
      left -= its;
    }
  }
}

}  // namespace

std::vector<place> places_of(const observe::ledger& all) {
  std::vector<place> out;
  out.reserve(all.used().size() + 1);
  const auto add = [&](const observe::block::owner& whose, std::uint16_t core,
                       const observe::figures& counted) {
    const auto model = static_cast<model_kind>(whose.model);
    auto at = std::find_if(out.begin(), out.end(), [&](const place& p) {
      return p.worker == whose.worker && p.core == core && p.model == model;
    });
    if (at == out.end()) at = out.insert(at, {whose.worker, core, model, {}});
    for (std::size_t i = 0; i < observe::figures_count; ++i) at->sums.each[i].add(counted.each[i].read());
  };
  for (const observe::block& b : all.used())
    if (const auto whose = b.whose.load(); whose.now != observe::block::owner::state::free)
      add(whose, whose.core, b.counted);
  for (const observe::thread_block& b : all.used_threads())
    if (const auto whose = b.whose.load(); whose.now != observe::block::owner::state::free)
      add(whose, place::threads, b.counted);
  std::sort(out.begin(), out.end(), [](const place& a, const place& b) {
    return std::tie(a.worker, a.core, a.model) < std::tie(b.worker, b.core, b.model);
  });
  give_ends_to_loops(out);
  return out;
}

std::vector<model_kind> models_in(const std::vector<place>& all) {
  std::vector<model_kind> out;
  for (const place& p : all)
    if (std::find(out.begin(), out.end(), p.model) == out.end()) out.push_back(p.model);
  std::sort(out.begin(), out.end());
  return out;
}

namespace {

template <class Wanted>
observe::histogram_view measured_where(const observe::ledger& all, observe::measure m, Wanted wanted) {
  observe::histogram_view out;
  for (const observe::block& b : all.used())
    if (const auto whose = b.whose.load(); whose.now != observe::block::owner::state::free && wanted(whose))
      out.add(b.measured[static_cast<std::size_t>(m)]);
  return out;
}

}  // namespace

observe::histogram_view measured_in(const observe::ledger& all, observe::measure m,
                                    const place& only) noexcept {
  return measured_where(all, m, [&only](const observe::block::owner& o) {
    return o.worker == only.worker && o.core == only.core && static_cast<model_kind>(o.model) == only.model;
  });
}

observe::histogram_view measured_in(const observe::ledger& all, observe::measure m,
                                    model_kind only) noexcept {
  return measured_where(
      all, m, [only](const observe::block::owner& o) { return static_cast<model_kind>(o.model) == only; });
}

observe::histogram_view measured_in(const observe::ledger& all, observe::measure m) noexcept {
  return measured_where(all, m, [](const observe::block::owner&) { return true; });
}

}  // namespace weir::admin
