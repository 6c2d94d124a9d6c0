#pragma once
// config: command line, environment and file become settings, and each key remembers which of them set it.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "weir/config/config_error.hpp"
#include "weir/config/detail/tunable.hpp"
#include "weir/config/program.hpp"
#include "weir/config/settings.hpp"

namespace weir {

// What the command line asks the program to do. `check` validates the settings, `plan` prints what would run
// where, `status` prints the state of the running server, `dump` what its coroutines wait for, `recorder`
// writes the last turns of its loops, `compare` runs the program in every model and measures it.
enum class action : std::uint8_t {
  run,
  help,
  version,
  check,
  print_config,
  plan,
  list_models,
  status,
  dump,
  recorder,
  compare
};

struct command_line {
  weir::action action = weir::action::run;
  weir::settings settings;
  key_values own;                                           // of the program's keys, which put() sets
  bool json = false;                                        // --status or --dump prints JSON
  bool running = false;                                     // --plan compares with the server that runs
  int pid = 0;                                              // of the server that is asked about; 0: not given
  std::string trace_file;                                   // of --recorder
  std::string compare;                                      // what --compare was given
  std::string config_file;                                  // as given; empty: none
  std::map<std::string, std::string, std::less<>> origins;  // key -> what set it; defaults are absent

  // Where `key` was set, for an error about it: "weir.toml:3", "WEIR_LISTEN", "--listen", "--set model",
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

// A complete configuration file that reads back as `s`, each key with its help, range and default.
[[nodiscard]] std::string print_config(const settings& s, const settings& defaults = {});
[[nodiscard]] std::string print_config(const settings& s, key_values own, const program& what);

// Settings that were not parsed, but filled in by a program. Errors: config_error with every value out of
// range.
void check_settings(const settings& s);

// The settings in the text of a configuration file. Errors name it `name`.
// Errors: config_error with every mistake found.
[[nodiscard]] settings parse_config(std::string_view text, const std::string& name);

}  // namespace weir
