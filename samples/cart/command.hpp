#pragma once
// cart: what a client asks for, and how it is told, wherever the carts are kept.

#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace cart {

using items = std::map<std::string, long, std::less<>>;

struct command {
  enum class kind { show, empty, add, ready, unknown, wrong_add };
  kind what = kind::unknown;
  std::string item = {};
  long count = 0;
};

[[nodiscard]] command parse(std::string_view line);

[[nodiscard]] std::string text_of(const items& all);

inline constexpr std::string_view done = "ok\n";
inline constexpr std::string_view too_many = "error: too many\n";
inline constexpr std::string_view unknown = "error: add ITEM COUNT, show, empty, bye\n";
inline constexpr std::string_view wrong_add = "error: add ITEM COUNT\n";

}  // namespace cart
