#pragma once
// config: command line, environment and file become settings, and each key remembers who set it.

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "weir/config/config_error.hpp"
#include "weir/config/settings.hpp"

namespace weir {

// What the user asked the program to do. `check` validates, `plan` tells what would run where, `status` what
// the pool that runs does.
enum class action : std::uint8_t { run, help, version, check, print_config, plan, list_models, status };

// What weir cannot know of the program that it serves.
struct program {
  std::string name = "weir";
  std::string version = {};  // of the program itself; empty: it has none of its own
  std::string summary = {};  // one line, for --help
  std::string options = {};  // lines about its own options, for --help

  // What it means where nothing else is said, instead of weir's own defaults.
  weir::settings defaults = {};

  // Sees the first argument that weir does not know, with everything unknown after it, and returns how many
  // of them it takes. 0: unknown to it too, which is an error. Default: takes none.
  std::function<std::size_t(std::span<const std::string>)> take = {};
};

struct command_line {
  weir::action action = weir::action::run;
  weir::settings settings;
  std::string config_file;                                  // as given; empty: none
  std::map<std::string, std::string, std::less<>> origins;  // key -> who set it; defaults are absent

  // What to put before an error about `key`: "weir.toml:3", "WEIR_LISTEN", "--listen", "--set model",
  // "default".
  [[nodiscard]] std::string origin_of(std::string_view key) const;
};

// defaults < file < environment < command line; a list is replaced, never appended to. For help, version and
// list_models nothing else is read, so a broken file does not hide the help.
// `environment` is like ::environ (null-terminated); null means none. argv[0] is not looked at.
// Errors: config_error with every mistake found.
[[nodiscard]] command_line parse_command_line(int argc, const char* const* argv,
                                              const char* const* environment, const program& what = {});

[[nodiscard]] std::string help_text(const program& what = {});
[[nodiscard]] std::string version_text(const program& what = {});

// A complete configuration file that gives `s`, each key with its help, range and default.
[[nodiscard]] std::string print_config(const settings& s, const settings& defaults = {});

// Settings that were not parsed, but filled in by a program. Errors: config_error with every value out of
// range.
void check_settings(const settings& s);

// The settings that the text of a configuration file gives. `name` is how errors call it.
// Errors: config_error with every mistake found.
[[nodiscard]] settings parse_config(std::string_view text, const std::string& name);

}  // namespace weir
