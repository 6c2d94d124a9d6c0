#pragma once
// base: a process that was started without standard input, output or error.

namespace weir {

// Problem: the next descriptor that a process opens gets the lowest free number. Without standard error that
// may be 2, and then log lines go to a socket, or over the memory that processes share. This opens /dev/null
// for each of the three that is closed. Thread: before others open descriptors. Errors: std::system_error.
void open_standard_descriptors();

// The log opens standard error a second time, if it is a pipe or a terminal (runtime/base/error_output.hpp).
// For a process that is about to become another user, which may not be allowed to open it.
void prepare_log_output() noexcept;

}  // namespace weir
