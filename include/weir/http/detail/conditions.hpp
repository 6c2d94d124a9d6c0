#pragma once
// http: conditional requests, ranges and codings.

#include <cstdint>
#include <ctime>
#include <string_view>
#include <vector>

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
// If-Modified-Since. Tags may come in several lines. Source: RFC 9110, 13.2.2.
[[nodiscard]] condition condition_of(const request& r, const validators& now) noexcept;

struct byte_range {
  std::uint64_t first = 0;
  std::uint64_t size = 0;  // not 0

  bool operator==(const byte_range&) const = default;
};

enum class range_kind : std::uint8_t { whole, parts, unsatisfiable };

struct byte_ranges {
  range_kind kind = range_kind::whole;
  std::vector<byte_range> parts;  // in the order of the request, at most most_parts

  static constexpr std::size_t most_parts = 64;

  bool operator==(const byte_ranges&) const = default;
};

// By Range and If-Range, of a resource of `size` bytes, as nginx judges them: a malformed range is
// unsatisfiable; parts that do not exist are left out; the whole is sent instead of too many parts, of parts
// that are longer together, and of a part of nothing that starts at its beginning.
[[nodiscard]] byte_ranges ranges_of(const request& r, const validators& now, std::uint64_t size);

// By Accept-Encoding: gzip is named with a weight above 0. A malformed weight refuses it.
[[nodiscard]] bool accepts_gzip(const request& r) noexcept;

}  // namespace weir::http
