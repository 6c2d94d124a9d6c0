#pragma once
// cache: memcached's flags.

#include <string>
#include <string_view>
#include <vector>

#include "service.hpp"

namespace cache {

struct flags {
  service_settings service;
  bool allows_shutdown = false;
  std::vector<std::string> rest;  // the words of the command line as weir reads them

  static const std::string_view help;
};

// `cpus`: those that may be used, for -t. Words that are not memcached's are passed on.
// Errors: weir::config_error with every mistake.
[[nodiscard]] flags read_flags(std::vector<std::string> words, const std::vector<int>& cpus);

}  // namespace cache
