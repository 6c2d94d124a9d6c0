#pragma once
// http: what tells one request from all others.

#include <string_view>

namespace weir::http {

// Writes 32 hexadecimal digits that no other request has, of this process or of another one. They cannot be
// guessed from nothing, but from each other: they are no secret.
void write_request_id(char* to) noexcept;

// What a client may send as one: 1 to 128 letters, digits, '-', '_' and '.'.
[[nodiscard]] bool is_request_id(std::string_view text) noexcept;

}  // namespace weir::http
