#pragma once
// config: what run() must be told of the program that it serves.

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "weir/config/key.hpp"
#include "weir/config/settings.hpp"

namespace weir {

// The name and the options of a program, for --help, --version and the command line.
struct program {
  std::string name = "weir";
  std::string version = {};  // of the program itself; empty: it has none of its own
  std::string summary = {};  // one line, for --help
  std::string options = {};  // lines about its own options, for --help

  // The program's defaults, instead of weir's own.
  weir::settings defaults = {};

  // Its own keys, each in a section that is none of weir's. Errors of run(): std::invalid_argument for a name
  // that is taken or malformed.
  std::vector<key> keys = {};

  // Called before anything is bound, once the keys have been set; in a process pool again, in the master,
  // when a reload has set them. What it throws ends the start, or refuses the reload.
  std::function<void()> prepare = {};

  // Gets the first argument that weir does not know, with all unknown arguments after it, and returns how
  // many of them are the program's own. 0: the first one is an error. Default: takes none.
  std::function<std::size_t(std::span<const std::string>)> take = {};
};

}  // namespace weir
