#pragma once
// server: the file that a serving process logs to.

#include <string>

#include "weir/config/settings.hpp"

namespace weir {

// Opens the log file, and gives it to the user that the process becomes, if it becomes another one. Nothing,
// if the log goes to standard error. Opens the line files of the process again, such as the access log, in
// the same way; one that cannot be opened is logged. Errors: std::system_error that names the file.
void open_log(const settings& s);

// Opens it anew. A file that cannot be opened is logged where the lines go now, and nothing else happens.
void reopen_log(const settings& s) noexcept;

// Why a file of that path could not be written, or created; empty if it can. Creates nothing.
[[nodiscard]] std::string why_not_writable(const std::string& path);

}  // namespace weir
