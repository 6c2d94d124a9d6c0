#pragma once
// server: the way from run() to what compares models, which lies above it and is implemented in compare/.

#include <string>
#include <vector>

#include "weir/config/settings.hpp"
#include "weir/model/model.hpp"

namespace weir {

// A program that is to be run in every model.
struct comparison {
  std::string program;                 // its name, for people
  std::vector<std::string> arguments;  // that it was given, without those of the comparison
  weir::settings settings;
  state_kind keeps;
  std::string load;  // a command, in which {host}, {port}, {address} and {seconds} are replaced
};

// Measures each model that `what.keeps` and this machine allow, tells what it finds on standard output, and
// writes compare.json and compare.html. The exit code: 0; 1 if no model could be measured.
// Errors: std::system_error, std::runtime_error.
[[nodiscard]] int run_comparison(const comparison& what);

// The arguments of a program without --compare and its value.
[[nodiscard]] std::vector<std::string> without_comparison(int argc, const char* const* argv);

}  // namespace weir
