#include "weir/admin/detail/places.hpp"

#include <algorithm>
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
  const auto key = [](const entry& e) { return std::tie(e.whose.worker, e.whose.core, e.whose.model); };
  std::sort(found.begin(), found.end(), [&](const entry& a, const entry& b) { return key(a) < key(b); });

  std::vector<place> of_threads;  // of each worker and model: few, however many threads it has
  for (const observe::thread_block& b : from.used_threads()) {
    const auto whose = b.whose.load();
    if (whose.now == state::free) continue;
    const auto model = static_cast<model_kind>(whose.model);
    auto at = std::find_if(of_threads.begin(), of_threads.end(),
                           [&](const place& p) { return p.worker == whose.worker && p.model == model; });
    if (at == of_threads.end())
      at = of_threads.insert(at, {.worker = whose.worker, .core = place::threads, .model = model});
    add(*at, b.counted, whose.now);
  }

  blocks_.reserve(found.size());
  all_.reserve(found.size() + of_threads.size());
  for (const entry& e : found) {
    const auto model = static_cast<model_kind>(e.whose.model);
    if (all_.empty() || all_.back().worker != e.whose.worker || all_.back().core != e.whose.core ||
        all_.back().model != model) {
      all_.push_back({.worker = e.whose.worker, .core = e.whose.core, .model = model});
      all_.back().blocks = std::span(blocks_.data() + blocks_.size(), 0);
    }
    blocks_.push_back(e.block);
    place& at = all_.back();
    at.blocks = std::span(at.blocks.data(), at.blocks.size() + 1);
    add(at, e.block->counted, e.whose.now);
  }
  all_.insert(all_.end(), of_threads.begin(), of_threads.end());
  std::sort(all_.begin(), all_.end(), [](const place& a, const place& b) {
    return std::tie(a.worker, a.core, a.model) < std::tie(b.worker, b.core, b.model);
  });
  give_ends_to_loops();
}

// A thread that runs a handler counts the end of a connection that a loop has begun. Which loop, where there
// are several, it does not tell: the sum over them is right.
void places::give_ends_to_loops() noexcept {
  for (const place& of : all_) {
    if (of.core != place::threads || of.ended() <= of[figure::accepted]) continue;
    std::uint64_t left = of.ended() - of[figure::accepted];
    for (place& loop : all_) {
      if (loop.worker != of.worker || loop.model != of.model || loop.core == place::threads) continue;
      const std::uint64_t its = std::min(left, loop.open());
      loop.ended_by_threads += its;
      left -= its;
    }
  }
}

std::vector<model_kind> places::models() const {
  std::vector<model_kind> out;
  for (const place& p : all_)
    if (std::find(out.begin(), out.end(), p.model) == out.end()) out.push_back(p.model);
  std::sort(out.begin(), out.end());
  return out;
}

observe::histogram_view places::measured(observe::measure m) const noexcept {
  observe::histogram_view out;
  for (const observe::block* b : blocks_) out.add(b->measured[static_cast<std::size_t>(m)]);
  return out;
}

observe::histogram_view places::measured(observe::measure m, model_kind only) const noexcept {
  observe::histogram_view out;
  for (const place& p : all_)
    if (p.model == only)
      for (const observe::block* b : p.blocks) out.add(b->measured[static_cast<std::size_t>(m)]);
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
