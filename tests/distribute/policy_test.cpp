#include "weir/distribute/detail/policy.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

using namespace weir;

namespace {

using counts = std::vector<std::uint32_t>;
constexpr std::uint64_t golden = 0x9e3779b97f4a7c15U;

client_key client(std::uint64_t n) { return {(n + 1) * golden, true}; }

// How often each target is chosen for `n` clients while every load stays as it is.
counts chosen(policy_kind policy, const counts& loads, std::uint64_t n, std::uint64_t seed = 1) {
  distributor choice(policy, loads.size(), seed);
  counts got(loads.size());
  for (std::uint64_t i = 0; i < n; ++i) ++got[choice.choose(loads, client(i))];
  return got;
}

// The loads after `n` connections that never end.
counts filled(policy_kind policy, std::size_t targets, std::uint64_t n) {
  distributor choice(policy, targets, 1);
  counts loads(targets);
  for (std::uint64_t i = 0; i < n; ++i) ++loads[choice.choose(loads, client(i))];
  return loads;
}

std::uint32_t spread(const counts& of) {
  const auto [low, high] = std::minmax_element(of.begin(), of.end());
  return *high - *low;
}

constexpr policy_kind deciding[] = {policy_kind::round_robin, policy_kind::least_connections,
                                    policy_kind::two_choices, policy_kind::random, policy_kind::ip_hash};

}  // namespace

TEST_CASE("round-robin gives each its turn, whatever the loads") {
  distributor choice(policy_kind::round_robin, 3, 0);
  const counts loads{9, 0, 0};
  for (const std::size_t expected : {0U, 1U, 2U, 0U, 1U, 2U}) CHECK(choice.choose(loads, {}) == expected);
}

TEST_CASE("least-connections takes the smallest load") {
  distributor choice(policy_kind::least_connections, 4, 0);
  CHECK(choice.choose(counts{5, 4, 1, 3}, {}) == 2);
  CHECK(choice.choose(counts{5, 4, 9, 2}, {}) == 3);
}

TEST_CASE("least-connections spreads short connections that leave every load at zero") {
  CHECK(chosen(policy_kind::least_connections, counts(4), 1000) == counts{250, 250, 250, 250});
}

TEST_CASE("least-connections ends up even from any start") {
  distributor choice(policy_kind::least_connections, 4, 7);
  counts loads{90, 0, 30, 7};
  for (int i = 0; i < 1000; ++i) ++loads[choice.choose(loads, {})];
  CHECK(spread(loads) <= 2);
}

TEST_CASE("two choices are far more even than random ones") {
  const auto two = spread(filled(policy_kind::two_choices, 16, 16000));
  const auto random = spread(filled(policy_kind::random, 16, 16000));
  INFO("two choices " << two << ", random " << random);
  CHECK(two <= 8);
  CHECK(random > 50);
}

TEST_CASE("short connections are spread evenly, though one target counts them off late") {
  for (const auto policy : {policy_kind::least_connections, policy_kind::two_choices}) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      distributor choice(policy, 2, seed);
      counts loads(2);
      counts given(2);
      for (int i = 0; i < 2000; ++i) {
        const auto to = choice.choose(loads, {});
        ++given[to];
        // The first target counts the end off at once, the second when it serves the next client.
        if (to == 1) loads[1] = 1;
      }
      CHECK(std::min(given[0], given[1]) >= 900);
    }
  }
}

TEST_CASE("two choices never take the most loaded target") {
  CHECK(chosen(policy_kind::two_choices, counts{1, 1, 3, 1}, 1000)[2] == 0);
}

TEST_CASE("random is uniform") {
  for (const auto n : chosen(policy_kind::random, counts(8), 80000)) CHECK((n > 9600 && n < 10400));
}

TEST_CASE("ip-hash spreads many clients evenly") {
  for (const auto n : chosen(policy_kind::ip_hash, counts(8), 80000)) CHECK((n > 9600 && n < 10400));
}

TEST_CASE("ip-hash takes a client to the same target, whatever the loads, the moment and the process") {
  distributor here(policy_kind::ip_hash, 8, 1);
  distributor there(policy_kind::ip_hash, 8, 999);
  counts loads(8);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const auto first = here.choose(loads, client(i));
    loads[first] += 1000;
    CHECK(there.choose(counts(8), client(i)) == first);
    CHECK(here.choose(loads, client(i)) == first);
  }
}

TEST_CASE("ip-hash moves one client in n when the count changes, and only to the new target") {
  distributor eight(policy_kind::ip_hash, 8, 1);
  distributor nine(policy_kind::ip_hash, 9, 1);
  int moved = 0;
  for (std::uint64_t i = 0; i < 9000; ++i) {
    const auto before = eight.choose(counts(8), client(i));
    const auto after = nine.choose(counts(9), client(i));
    if (before == after) continue;
    ++moved;
    CHECK(after == 8);
  }
  CHECK((moved > 900 && moved < 1100));  // a ninth is 1000
}

TEST_CASE("ip-hash scatters the clients of an unavailable target and no others") {
  distributor choice(policy_kind::ip_hash, 4, 1);
  counts loads(4);
  counts scattered(4);
  for (std::uint64_t i = 0; i < 4000; ++i) {
    loads[1] = 0;
    const auto home = choice.choose(loads, client(i));
    loads[1] = unavailable;
    const auto now = choice.choose(loads, client(i));
    if (home == 1)
      ++scattered[now];
    else
      CHECK(now == home);
  }
  CHECK(scattered[1] == 0);
  for (const auto at : {0U, 2U, 3U}) CHECK((scattered[at] > 270 && scattered[at] < 400));  // a third is 333
}

TEST_CASE("ip-hash gives clients without an address their turn") {
  distributor choice(policy_kind::ip_hash, 3, 0);
  const counts loads(3);
  for (const std::size_t expected : {0U, 1U, 2U, 0U}) CHECK(choice.choose(loads, {}) == expected);
}

TEST_CASE("no policy chooses an unavailable target while another is left") {
  for (const auto policy : deciding) {
    const auto got = chosen(policy, counts{unavailable, 3, unavailable, 3}, 4000);
    CHECK(got[0] == 0);
    CHECK(got[2] == 0);
    CHECK((got[1] > 1800 && got[1] < 2200));
    CHECK(chosen(policy, counts{unavailable, unavailable, 5}, 100) == counts{0, 0, 100});
  }
}

TEST_CASE("every policy still answers when all are unavailable or only one is there") {
  for (const auto policy : deciding) {
    CHECK(distributor(policy, 2, 1).choose(counts{unavailable, unavailable}, client(1)) < 2);
    CHECK(distributor(policy, 1, 1).choose(counts{7}, client(1)) == 0);
  }
}

TEST_CASE("distributors side by side start at different targets") {
  const counts loads(4);
  CHECK(distributor(policy_kind::round_robin, 4, 0).choose(loads, {}) !=
        distributor(policy_kind::round_robin, 4, 1).choose(loads, {}));
}
