#pragma once
// config: settings while each source overrides the one before: defaults < file < environment < command line.

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "weir/config/detail/tunable.hpp"
#include "weir/config/program.hpp"

namespace weir {

struct layers {
  // With the keys of a program. Errors: std::invalid_argument for one that is malformed.
  explicit layers(const program& what = {})
      : values(what.defaults), own(standards_of(what.keys)), rows(tunables_with(what.keys, own)) {}
  layers(const layers&) = delete;
  layers& operator=(const layers&) = delete;
  ~layers() = default;

  settings values;
  key_values own;  // of the program's keys
  std::vector<tunable> rows;
  std::map<std::string, std::string, std::less<>> origins;
  std::vector<std::string> errors;

  // `origin` is where the value was written ("weir.toml:3", "--listen"), `place` what an error about it
  // starts with.
  void set(const tunable& what, const written& value, const std::string& origin, const std::string& place) {
    if (auto wrong = what.set(values, value); !wrong.empty())
      errors.push_back(place + ": " + wrong);
    else
      origins[std::string(what.key)] = origin;
  }
};

// `name` is the file's name in errors.
void read_config(std::string_view text, const std::string& name, layers& into);
void read_config_file(const std::string& path, layers& into);
void read_environment(const char* const* environment, layers& into);

}  // namespace weir
