#include "suggestion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
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

constexpr std::string_view listen_option = "write --listen ADDRESS:PORT";
constexpr std::string_view listen_key = "write listen = \"ADDRESS:PORT\"";

constexpr std::array<foreign_word, 12> foreign_words{{
    {"port", listen_option, listen_key},
    {"p", listen_option, listen_key},
    {"host", listen_option, listen_key},
    {"bind", listen_option, listen_key},
    {"address", listen_option, listen_key},
    {"threads", "loops: --cores LIST; threads for handlers: --set workers.count=N",
     "loops: cores.use; threads for handlers: workers.count"},
    {"workers",
     "worker processes: --model process-pool --processes N; threads for handlers: --set workers.count=N",
     "worker processes: processes.count; threads for handlers: workers.count"},
    {"daemon", "run it under systemd; see samples/echo/echo.service",
     "run it under systemd; see samples/echo/echo.service"},
    {"timeout", "write --set limits.idle_timeout=60s", "write limits.idle_timeout = \"60s\""},
    {"max-connections", "write --set limits.connections=N", "write limits.connections = N"},
    {"user", "write --set privileges.user=NAME", "write privileges.user = \"NAME\""},
    {"log-level", "write --set log.level=debug", "write log.level = \"debug\""},
}};

}  // namespace

const foreign_word* find_foreign_word(std::string_view word) noexcept {
  word.remove_prefix(std::min(word.find_first_not_of('-'), word.size()));
  const auto found = std::find_if(foreign_words.begin(), foreign_words.end(),
                                  [&](const foreign_word& each) { return each.word == word; });
  return found == foreign_words.end() ? nullptr : &*found;
}

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
