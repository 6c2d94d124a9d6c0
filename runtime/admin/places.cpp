#include "weir/admin/detail/places.hpp"

#include <algorithm>
#include <iterator>
#include <tuple>

namespace weir::admin {
namespace {

using observe::figure;
using state = observe::block::owner::state;

void add(place& to, const observe::figures& counted, state now) noexcept {
  for (std::size_t i = 0; i < observe::figures_count; ++i) to.sums.each[i].add(counted.each[i].read());
  if (now == state::live) ++to.live;
}

}  // namespace

std::uint64_t place::open() const noexcept {
  const auto& self = *this;
  // A connection that has ended meanwhile may be counted in the second alone.
  const std::uint64_t ended = self[figure::peer_closed] + self[figure::peer_reset] + self[figure::idle] +
                              self[figure::stopping] + self[figure::closed] + self[figure::moved];
  const std::uint64_t begun = self[figure::accepted];
  return begun > ended ? begun - ended : 0;
}

observe::histogram_view place::measured(observe::measure m) const noexcept {
  observe::histogram_view out;
  for (const observe::block* b : blocks) out.add(b->measured[static_cast<std::size_t>(m)]);
  return out;
}

places::places(const observe::ledger& from) {
  struct entry {
    observe::block::owner whose;
    const observe::block* block;
  };
  std::vector<entry> found;
  found.reserve(from.used().size());
  for (const observe::block& b : from.used())
    if (const auto whose = b.whose.load(); whose.now != state::free) found.push_back({whose, &b});
  const auto key = [](const entry& e) { return std::tie(e.whose.worker, e.whose.core); };
  std::sort(found.begin(), found.end(), [&](const entry& a, const entry& b) { return key(a) < key(b); });

  std::vector<place> of_threads;  // of each worker: few, however many threads it has
  for (const observe::thread_block& b : from.used_threads()) {
    const auto whose = b.whose.load();
    if (whose.now == state::free) continue;
    if (whose.worker >= of_threads.size()) of_threads.resize(whose.worker + std::size_t{1});
    place& at = of_threads[whose.worker];
    at.worker = whose.worker;
    at.core = place::threads;
    add(at, b.counted, whose.now);
  }

  blocks_.reserve(found.size());
  all_.reserve(found.size() + of_threads.size());
  for (const entry& e : found) {
    if (all_.empty() || all_.back().worker != e.whose.worker || all_.back().core != e.whose.core) {
      all_.push_back({.worker = e.whose.worker, .core = e.whose.core});
      all_.back().blocks = std::span(blocks_.data() + blocks_.size(), 0);
    }
    blocks_.push_back(e.block);
    place& at = all_.back();
    at.blocks = std::span(at.blocks.data(), at.blocks.size() + 1);
    add(at, e.block->counted, e.whose.now);
  }
  std::copy_if(of_threads.begin(), of_threads.end(), std::back_inserter(all_),
               [](const place& p) { return p.core == place::threads; });
  std::sort(all_.begin(), all_.end(), [](const place& a, const place& b) {
    return std::tie(a.worker, a.core) < std::tie(b.worker, b.core);
  });
}

observe::histogram_view places::measured(observe::measure m) const noexcept {
  observe::histogram_view out;
  for (const observe::block* b : blocks_) out.add(b->measured[static_cast<std::size_t>(m)]);
  return out;
}

std::uint64_t places::sum(figure f) const noexcept {
  std::uint64_t out = 0;
  for (const place& p : all_) out += p[f];
  return out;
}

std::uint64_t places::of_listeners(figure f, accept_kind how) const noexcept {
  if (how == accept_kind::reuseport) return sum(f);
  std::uint64_t out = 0;
  for (const place& p : all_) out = std::max(out, p[f]);
  return out;
}

}  // namespace weir::admin
