#pragma once
// http: from the path of a request to a file name.

#include <optional>
#include <string>
#include <string_view>

namespace weir::http {

// Percent-decoded, without leading slashes, so that it is relative. nullopt for a malformed escape and for an
// escaped NUL or '/'.
// Hazard: ".." and links are left in it; open it with RESOLVE_BENEATH only.
[[nodiscard]] std::optional<std::string> file_path(std::string_view path);

// By the file name's extension; "application/octet-stream" for an unknown one.
[[nodiscard]] std::string_view content_type_of(std::string_view path) noexcept;

}  // namespace weir::http
