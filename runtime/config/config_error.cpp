#include "weir/config/config_error.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

namespace weir {

config_error::config_error(std::vector<std::string> messages)
    : std::runtime_error(fmt::format("{}", fmt::join(messages, "\n"))), messages_(std::move(messages)) {}

}  // namespace weir
