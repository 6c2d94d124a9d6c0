#pragma once
// base: weir's own error codes, and how an errno becomes an exception that names its object.

#include <string_view>
#include <system_error>

namespace weir {

// Errors of weir's own category. System calls keep std::generic_category.
enum class errc {
  truncated = 1,      // the stream ended inside a message
  message_too_large,  // a message is longer than the limit given for it
  not_on_a_core,      // an operation that needs a core was awaited on a thread that runs none
  overloaded,         // a bounded queue is full; nothing was queued
};

[[nodiscard]] const std::error_category& category() noexcept;
[[nodiscard]] std::error_code make_error_code(errc e) noexcept;

// The text of an errno, which takes no memory.
[[nodiscard]] const char* text_of(int error) noexcept;

// In a catch block: the text of what was thrown.
[[nodiscard]] const char* text_of_current_exception() noexcept;

// Throws std::system_error for `error` (an errno value), with "what" as its context.
// `what` names the object: "bind 127.0.0.1:80", "open /etc/weir.toml".
[[noreturn]] void throw_system_error(int error, std::string_view what);

}  // namespace weir

template <>
struct std::is_error_code_enum<weir::errc> : std::true_type {};
