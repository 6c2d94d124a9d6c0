#pragma once
// server: the file that a serving process logs to.

#include "weir/config/settings.hpp"

namespace weir {

// The log file, as the one who serves may write it; nothing if the log goes to standard error.
// Errors: std::system_error that names the file.
void open_log(const settings& s);

}  // namespace weir
