#include <array>

#include "weir/http/detail/request_parser.hpp"
#include "weir/http/field_text.hpp"

namespace weir::http {

namespace {

// 501 for a body whose end is known although its coding is not: chunked, once and at the end.
int status_of_coding(std::string_view list) noexcept {
  std::string_view last;
  int chunked = 0;
  for (std::string_view each; !(each = next_element(list)).empty();) {
    last = each;
    chunked += same_name(each, "chunked");
  }
  return chunked == 1 && same_name(last, "chunked") ? 501 : 400;
}

struct seen {
  int hosts = 0;
  int lengths = 0;
  int codings = 0;
  bool close = false;
  bool keep_alive = false;
};

refusal read_field(const header& h, seen& s, framing& into) noexcept {
  switch (h.name.size()) {
    case 4:
      if (!same_name(h.name, "host")) break;
      if (++s.hosts > 1 || !is_host(h.value)) return {400, "Host"};
      break;
    case 6:
      if (!same_name(h.name, "expect")) break;
      if (!same_name(h.value, "100-continue")) return {417, "Expect"};
      into.expects_continue = true;
      break;
    case 10:
      if (!same_name(h.name, "connection")) break;
      for (std::string_view list = h.value, option; !(option = next_element(list)).empty();) {
        s.close |= same_name(option, "close");
        s.keep_alive |= same_name(option, "keep-alive");
      }
      break;
    case 14: {
      if (!same_name(h.name, "content-length")) break;
      const auto length = decimal(h.value);
      if (++s.lengths > 1 || !length) return {400, "Content-Length"};
      into.length = *length;
      break;
    }
    case 17:
      if (!same_name(h.name, "transfer-encoding")) break;
      if (++s.codings > 1) return {400, "Transfer-Encoding twice"};
      if (!same_name(h.value, "chunked")) return {status_of_coding(h.value), "Transfer-Encoding"};
      into.chunked = true;
      break;
    default: break;
  }
  return {};
}

}  // namespace

bool is_host(std::string_view text) noexcept {
  static constexpr auto allowed = [] {
    std::array<bool, 256> is{};
    for (const char c : std::string_view(
             "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~%!$&'()*+,;=:[]"))
      is[static_cast<unsigned char>(c)] = true;
    return is;
  }();
  for (const char c : text)
    if (!allowed[static_cast<unsigned char>(c)]) return false;
  return true;
}

refusal read_framing(const request& r, framing& into) noexcept {
  into = {};
  seen s;
  for (std::size_t i = 0; i < r.size(); ++i)
    if (const refusal no = read_field(r[i], s, into); no.status != 0) return no;
  if (s.hosts == 0 && r.minor() != 0) return {400, "no Host"};
  if (s.codings != 0 && s.lengths != 0) return {400, "Transfer-Encoding and Content-Length"};
  if (s.codings != 0 && r.minor() == 0) return {400, "Transfer-Encoding in HTTP/1.0"};
  if (r.minor() == 0) into.expects_continue = false;
  into.keep_alive = !s.close && (r.minor() != 0 || s.keep_alive);
  return {};
}

}  // namespace weir::http
