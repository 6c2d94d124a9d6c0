#pragma once
// admin: the one request of a client of the admin listener.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace weir::admin {

// Problem: a few GETs do not need an HTTP library, which a program may not even link. So this reads one
// request, strictly: what HTTP/1.1 allows and nobody needs here is refused, and every answer ends the
// connection.
struct question {
  static constexpr std::size_t longest = 8192;  // of a head

  bool has_body = true;   // HEAD: the answer has none
  std::string_view path;  // without the query
  std::string_view host;  // of the header; empty without one
  bool wants_openmetrics = false;
  bool accepts_gzip = false;
  std::string_view token;  // of "Authorization: Bearer"
};

// How it is refused: a status, which for 405 and 401 has a header of its own.
struct refused_question {
  int status;
};

// The end of the head in `text`, behind the empty line; nothing if it has not come.
[[nodiscard]] std::optional<std::size_t> end_of_head(std::string_view text) noexcept;

// `head`: with its empty line. Views into it.
[[nodiscard]] std::optional<question> parse_question(std::string_view head, refused_question& why) noexcept;

// Whether a request with that Host is meant for this server: it names an address, or localhost. A page of
// somebody else's may have its own name resolved to the address of a server that a browser reaches, and then
// read what it answers; but the browser says that name.
[[nodiscard]] bool names_an_address(std::string_view host) noexcept;

// Takes as long for any `given` of that length.
[[nodiscard]] bool is_token(std::string_view given, std::string_view token) noexcept;

struct answer {
  int status = 200;
  std::string_view type = "text/plain; charset=utf-8";
  std::string text;
  bool is_gzip = false;  // that text
};

// As it is sent. `whole`: with its text.
[[nodiscard]] std::string written(const answer& a, bool whole);

}  // namespace weir::admin
