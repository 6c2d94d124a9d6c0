#pragma once
// http: conditional requests, ranges and codings.

#include <cstdint>
#include <ctime>
#include <string_view>

#include "weir/http/request.hpp"

namespace weir::http {

// What distinguishes one version of a resource from another.
struct validators {
  std::string_view etag;  // strong, with its quotes
  std::time_t modified = 0;
};

// The outcome of a request's conditions: the answer; 304, the client has this version; or 412, the client
// wanted another version only.
enum class condition : std::uint8_t { answer, not_modified, failed };

// By If-Match, or without one by If-Unmodified-Since; then by If-None-Match, or without one by
// If-Modified-Since. Source: RFC 9110, 13.2.2.
[[nodiscard]] condition condition_of(const request& r, const validators& now) noexcept;

enum class range_kind : std::uint8_t { whole, part, unsatisfiable };

struct byte_range {
  range_kind kind = range_kind::whole;
  std::uint64_t first = 0;
  std::uint64_t size = 0;

  bool operator==(const byte_range&) const = default;
};

// By Range and If-Range, of a resource of `size` bytes. Several ranges, or a malformed one, mean the whole.
[[nodiscard]] byte_range range_of(const request& r, const validators& now, std::uint64_t size) noexcept;

// By Accept-Encoding.
[[nodiscard]] bool accepts_gzip(const request& r) noexcept;

}  // namespace weir::http
