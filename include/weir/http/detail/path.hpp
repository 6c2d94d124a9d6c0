#pragma once
// http: the path of a request as the name of a file.

#include <optional>
#include <string>
#include <string_view>

namespace weir::http {

// Percent-decoded, without the slashes at its front, so that it is relative. Nothing for what is no name: a
// malformed escape, and an escaped NUL or '/'. What ".." and links lead to is the business of who opens it.
[[nodiscard]] std::optional<std::string> file_path(std::string_view path);

// By the ending of its name; "application/octet-stream" for what is not known.
[[nodiscard]] std::string_view content_type_of(std::string_view path) noexcept;

}  // namespace weir::http
