#include "weir/admin/detail/question.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace weir::admin {
namespace {

bool is_token_char(char c) noexcept {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         others.find(c) != std::string_view::npos;
}

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool same(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// The text up to the next CR LF, which is taken away with it.
std::string_view take_line(std::string_view& rest) noexcept {
  const std::size_t end = rest.find("\r\n");
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 2);
  return line;
}

// 0, or the status of a refusal.
int read_first_line(std::string_view line, question& into) noexcept {
  const std::size_t first = line.find(' ');
  const std::size_t second = line.find(' ', first + 1);
  if (first == std::string_view::npos || second == std::string_view::npos) return 400;
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, second - first - 1);
  const std::string_view version = line.substr(second + 1);
  if (method.empty() || !std::all_of(method.begin(), method.end(), is_token_char)) return 400;
  if (target.empty() || target.front() != '/' ||
      !std::all_of(target.begin(), target.end(), [](char c) { return c > ' ' && c < 0x7f; }))
    return 400;
  if (version != "HTTP/1.1" && version != "HTTP/1.0") return version.starts_with("HTTP/") ? 505 : 400;
  if (method != "GET" && method != "HEAD") return 405;
  into.has_body = method == "GET";
  into.path = target.substr(0, target.find('?'));
  return 0;
}

// "gzip" in a list of codings, unless it says "q=0".
bool accepts_gzip(std::string_view list) noexcept {
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    const std::string_view coding = list.substr(0, end);
    list.remove_prefix(std::min(end + 1, list.size()));
    const std::size_t semicolon = std::min(coding.find(';'), coding.size());
    if (!same(trimmed(coding.substr(0, semicolon)), "gzip")) continue;
    const std::string_view weight = trimmed(coding.substr(std::min(semicolon + 1, coding.size())));
    return weight.empty() || weight.find_first_of("123456789") != std::string_view::npos;
  }
  return false;
}

int read_header(std::string_view line, question& into, int& hosts) noexcept {
  const std::size_t colon = line.find(':');
  if (colon == 0 || colon == std::string_view::npos) return 400;
  const std::string_view name = line.substr(0, colon);
  if (!std::all_of(name.begin(), name.end(), is_token_char)) return 400;
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (same(name, "host")) {
    ++hosts;
    into.host = value;
  }
  if (same(name, "transfer-encoding")) return 400;
  if (same(name, "content-length") && value != "0") return 400;
  if (same(name, "accept") && value.find("application/openmetrics-text") != std::string_view::npos)
    into.wants_openmetrics = true;
  if (same(name, "accept-encoding") && accepts_gzip(value)) into.accepts_gzip = true;
  if (same(name, "authorization") && value.size() > 7 && same(value.substr(0, 7), "bearer "))
    into.token = trimmed(value.substr(7));
  return 0;
}

std::string_view reason_of(int status) noexcept {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 421: return "Misdirected Request";
    case 431: return "Request Header Fields Too Large";
    case 503: return "Service Unavailable";
    case 505: return "HTTP Version Not Supported";
    default: return "Error";
  }
}

}  // namespace

std::optional<std::size_t> end_of_head(std::string_view text) noexcept {
  const std::size_t at = text.find("\r\n\r\n");
  return at == std::string_view::npos ? std::nullopt : std::optional(at + 4);
}

std::optional<question> parse_question(std::string_view head, refused_question& why) noexcept {
  for (std::size_t i = 0; i < head.size(); ++i) {
    const auto c = static_cast<unsigned char>(head[i]);
    const bool ends_line = c == '\r' && i + 1 < head.size() && head[i + 1] == '\n';
    if (ends_line) ++i;
    if (!ends_line && c != '\t' && (c < ' ' || c == 0x7f)) return why = {400}, std::nullopt;
  }
  question out;
  int hosts = 0;
  const bool is_new = head.substr(0, head.find("\r\n")).ends_with("HTTP/1.1");
  int status = read_first_line(take_line(head), out);
  while (status == 0) {
    const std::string_view line = take_line(head);
    if (line.empty()) break;
    status = read_header(line, out, hosts);
  }
  if (status == 0 && (hosts > 1 || (is_new && hosts == 0))) status = 400;
  if (status == 0) return out;
  why = {status};
  return std::nullopt;
}

bool names_an_address(std::string_view host) noexcept {
  if (host.starts_with('[')) return true;
  host = host.substr(0, host.find(':'));
  return same(host, "localhost") ||
         std::all_of(host.begin(), host.end(), [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

bool is_token(std::string_view given, std::string_view token) noexcept {
  unsigned differ = given.size() == token.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i)
    differ |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(token[i % token.size()]);
  return differ == 0;
}

std::string written(const answer& a, bool whole) {
  const std::string_view more = a.status == 405   ? "Allow: GET, HEAD\r\n"
                                : a.status == 401 ? "WWW-Authenticate: Bearer\r\n"
                                                  : "";
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}Cache-Control: no-store\r\n"
      "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
      "Cross-Origin-Resource-Policy: same-origin\r\n"
      "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
      "img-src data:; "
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
      "{}Connection: close\r\n\r\n{}",
      a.status, reason_of(a.status), a.type, a.text.size(), a.is_gzip ? "Content-Encoding: gzip\r\n" : "",
      more, whole ? std::string_view(a.text) : std::string_view());
}

}  // namespace weir::admin
