#pragma once
// config: settings while each source overrides the one before: defaults < file < environment < command line.

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "weir/config/detail/tunable.hpp"

namespace weir {

struct layers {
  settings values;
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
