#include "suggestion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

namespace weir {
namespace {

// Letters to insert, delete or replace to get from one word to the other (Levenshtein).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const auto replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string suggestion(std::string_view wrong, std::span<const std::string> candidates) {
  const std::string* best = nullptr;
  auto nearest = wrong.size() / 3 + 1;  // further away is another word, not a slip
  for (const auto& each : candidates)
    if (const auto d = distance(wrong, each); d <= nearest && (best == nullptr || d < nearest)) {
      nearest = d;
      best = &each;
    }
  return best == nullptr ? std::string() : fmt::format("; did you mean \"{}\"?", *best);
}

}  // namespace weir
