#pragma once
// config: the description of one tunable, which file, environment, command line, --print-config and --help
// share.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "weir/config/key.hpp"
#include "weir/config/settings.hpp"

namespace weir {

// The value given for a key. `untyped` is text from the environment or the command line and may stand for any
// type; the others come from TOML, which has types of its own.
struct untyped {
  std::string text;
};
struct unusable {
  std::string_view what;  // "a table", "a float"
};
using written = std::variant<untyped, std::string, std::int64_t, bool, std::vector<std::string>, unusable>;

struct tunable {
  std::string_view key;  // "limits.connections"
  std::string help;
  std::string range;                                  // "1..10000000", with its unit
  std::function<std::string(const settings&)> print;  // as a TOML value
  // Returns what is wrong, without place and key; empty: set.
  std::function<std::string(settings&, const written&)> set;
  std::string_view flag = {};  // of its own
  std::string_view flag_type = {};
  std::string standard =
      {};  // the default of a program's key, as print() writes it; empty: that of the settings
};

// The default, as print() writes it.
[[nodiscard]] inline std::string default_of(const tunable& t, const settings& defaults) {
  return t.standard.empty() ? t.print(defaults) : t.standard;
}

// Top-level keys first, then section by section: the order of a TOML file.
[[nodiscard]] std::span<const tunable> tunables();
[[nodiscard]] const tunable* find_tunable(std::string_view key, std::span<const tunable> among = tunables());

// The values of a program's keys, in their order, until they are put into its variables.
using key_values = std::vector<key::value>;
[[nodiscard]] key_values standards_of(std::span<const key> keys);
void put(std::span<const key> keys, const key_values& values);

// tunables() and behind them those of a program, which print and set `values`.
// Lifetime: keys and values outlive it. Errors: std::invalid_argument for a name that is taken or malformed.
[[nodiscard]] std::vector<tunable> tunables_with(std::span<const key> keys, key_values& values);

// "WEIR_LIMITS_CONNECTIONS" for "limits.connections".
[[nodiscard]] std::string variable_of(std::string_view key);

// "; did you mean ...?" if a key is near to `wrong`, otherwise empty.
[[nodiscard]] std::string key_suggestion(std::string_view wrong, std::span<const tunable> among);

}  // namespace weir
