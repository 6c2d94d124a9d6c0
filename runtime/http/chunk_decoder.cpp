#include "weir/http/detail/chunk_decoder.hpp"

#include <algorithm>

#include "weir/http/field_text.hpp"

namespace weir::http {

namespace {

constexpr std::uint8_t most_digits = 16;
constexpr std::uint64_t most_chunk = std::uint64_t(1) << 62;

int digit(unsigned char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  const int lower = c | 0x20;
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool is_text(unsigned char c) noexcept { return (c >= 0x20 && c != 0x7f) || c == '\t'; }

}  // namespace

chunk_decoder::piece chunk_decoder::take(std::string_view bytes) noexcept {
  std::size_t i = 0;
  while (i < bytes.size() && at_ != at::data && at_ != at::done && at_ != at::failed)
    step(static_cast<unsigned char>(bytes[i++]));
  if (at_ == at::done) return {i, {}, state::done};
  if (at_ == at::failed) return {i, {}, state::failed};
  if (at_ != at::data) return {i, {}, state::more};
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size() - i));
  left_ -= size;
  if (left_ == 0) at_ = at::data_end;
  return {i + size, bytes.substr(i, size), state::more};
}

void chunk_decoder::step(unsigned char c) noexcept {
  const auto expect = [&](unsigned char wanted, at then) { at_ = c == wanted ? then : at::failed; };
  switch (at_) {
    case at::size_start:
    case at::size:
      if (const int d = digit(c); d >= 0) {
        left_ = left_ << 4 | static_cast<std::uint64_t>(d);
        at_ = ++digits_ > most_digits ? at::failed : at::size;
      } else if (at_ == at::size_start || (c != '\r' && c != ';') || left_ > most_chunk) {
        at_ = at::failed;
      } else {
        at_ = c == ';' ? at::extension_start : at::size_end;
      }
      break;
    case at::extension_start:
    case at::extension_name:
    case at::value_start:
    case at::value:
    case at::quoted:
    case at::escaped:
    case at::quoted_end: step_extension(c); break;
    case at::size_end:
      expect('\n', left_ != 0 ? at::data : at::trailer_start);
      digits_ = 0;
      break;
    case at::data_end: expect('\r', at::data_end_lf); break;
    case at::data_end_lf: expect('\n', at::size_start); break;
    case at::trailer_start:
      // A line that continues another, or has no name.
      if (c == ' ' || c == '\t' || c == ':') {
        at_ = at::failed;
        break;
      }
      if (c == '\r') {
        at_ = at::last_lf;
        break;
      }
      [[fallthrough]];
    case at::trailer:
      at_ = c == '\r' ? at::trailer_end : at::trailer;
      if (c != '\r' && (!is_text(c) || ++trailers_ > most_trailers)) at_ = at::failed;
      break;
    case at::trailer_end: expect('\n', at::trailer_start); break;
    case at::last_lf: expect('\n', at::done); break;
    case at::data:
    case at::done:
    case at::failed: break;
  }
}

// Where one parser ends a line and another does not, requests are smuggled: nothing is passed over unread.
void chunk_decoder::step_extension(unsigned char c) noexcept {
  const char text = static_cast<char>(c);
  const bool is_name = is_token({&text, 1});
  at next = at::failed;
  switch (at_) {
    case at::extension_start:
      if (is_name) next = at::extension_name;
      break;
    case at::extension_name:
      if (c == '=') next = at::value_start;
      [[fallthrough]];
    case at::value:
      if (is_name) next = at_;
      [[fallthrough]];
    case at::quoted_end:
      if (c == ';') next = at::extension_start;
      if (c == '\r') next = at::size_end;
      break;
    case at::value_start:
      if (is_name) next = at::value;
      if (c == '"') next = at::quoted;
      break;
    case at::quoted:
      if (is_text(c)) next = c == '"' ? at::quoted_end : c == '\\' ? at::escaped : at::quoted;
      break;
    case at::escaped:
      if (is_text(c)) next = at::quoted;
      break;
    default: break;
  }
  at_ = ++extensions_ > most_extensions ? at::failed : next;
}

}  // namespace weir::http
