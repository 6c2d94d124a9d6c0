#include "weir/distribute/detail/policy.hpp"

#include <algorithm>
#include <cassert>

namespace weir {
namespace {

// The output function of SplitMix64 (Steele, Lea and Flood, 2014).
constexpr std::uint64_t mixed(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}
constexpr std::uint64_t golden = 0x9e3779b97f4a7c15U;

// The loads of other threads and processes are a moment old. By a stricter order the target that is quicker
// to see that a client has left would get most of the clients that come and go.
constexpr std::uint32_t one_says_nothing = 1;

}  // namespace

distributor::distributor(policy_kind policy, std::size_t targets, std::uint64_t seed) noexcept
    : policy_(policy), targets_(targets), next_(seed % targets), random_(seed) {
  assert(targets > 0);
}

std::size_t distributor::choose(std::span<const std::uint32_t> loads, client_key key) noexcept {
  assert(loads.size() == targets_ && policy_ != policy_kind::kernel);
  switch (policy_) {
    case policy_kind::least_connections:
    case policy_kind::compete: return least(loads);
    case policy_kind::two_choices: return lesser_of_two(loads);
    case policy_kind::random: {
      const auto chosen = below(targets_);
      // The next one in line would get twice its share, so draw again among what is left.
      return loads[chosen] != unavailable ? chosen : sticky(loads, mixed(random_ += golden));
    }
    case policy_kind::ip_hash:
      if (key.has_address) return sticky(loads, key.hash);
      break;
    case policy_kind::round_robin:
    case policy_kind::kernel: break;
  }
  return in_turn(loads);
}

std::size_t distributor::in_turn(std::span<const std::uint32_t> loads) noexcept {
  auto chosen = next_;
  for (std::size_t tried = 0; tried < targets_ && loads[chosen] == unavailable; ++tried)
    chosen = chosen + 1 == targets_ ? 0 : chosen + 1;
  next_ = chosen + 1 == targets_ ? 0 : chosen + 1;
  return chosen;
}

std::size_t distributor::least(std::span<const std::uint32_t> loads) noexcept {
  const auto lowest = *std::min_element(loads.begin(), loads.end());
  auto best = next_;
  while (loads[best] - lowest > one_says_nothing) best = best + 1 == targets_ ? 0 : best + 1;
  next_ = best + 1 == targets_ ? 0 : best + 1;
  return best;
}

std::size_t distributor::lesser_of_two(std::span<const std::uint32_t> loads) noexcept {
  if (targets_ == 1) return 0;
  const auto first = below(targets_);
  auto second = below(targets_ - 1);
  if (second >= first) ++second;
  // Among equals the one whose turn comes first: a draw would favour the target that sees sooner that its
  // clients have left.
  const auto distance = [this](std::size_t at) { return at >= next_ ? at - next_ : at + targets_ - next_; };
  const auto [lesser, greater] = std::minmax(loads[first], loads[second]);
  const bool second_is_less =
      greater - lesser > one_says_nothing ? loads[second] < loads[first] : distance(second) < distance(first);
  const auto chosen = second_is_less ? second : first;
  if (loads[chosen] == unavailable) return least(loads);
  next_ = chosen + 1 == targets_ ? 0 : chosen + 1;
  return chosen;
}

// The target with the highest score for this client among those available.
std::size_t distributor::sticky(std::span<const std::uint32_t> loads, std::uint64_t hash) const noexcept {
  std::size_t best = 0;
  std::uint64_t best_score = 0;
  bool best_available = false;
  for (std::size_t at = 0; at < targets_; ++at) {
    const auto score = mixed(hash ^ mixed((at + 1) * golden));
    const bool available = loads[at] != unavailable;
    if (at != 0 && (available == best_available ? score <= best_score : best_available)) continue;
    best = at;
    best_score = score;
    best_available = available;
  }
  return best;
}

// Uniform in [0, bound): the high half of a product (Lemire, 2019); its bias is below 2^-32 for any real
// bound.
std::size_t distributor::below(std::size_t bound) noexcept {
  const auto draw = mixed(random_ += golden) >> 32;
  return static_cast<std::size_t>((draw * bound) >> 32);
}

}  // namespace weir
