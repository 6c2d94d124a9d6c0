#include "access_line.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>

#include "weir/http/field_text.hpp"

namespace weir::http {
namespace {

// Together with all else that a line has, below longest_access_line.
constexpr std::size_t most_method = 64;
constexpr std::size_t most_target = 2048;
constexpr std::size_t most_referer = 768;
constexpr std::size_t most_agent = 512;
constexpr std::size_t most_id = 128;

constexpr std::string_view hex = "0123456789abcdef";

char* put(char* to, std::string_view text) noexcept {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

char* put_number(char* to, std::uint64_t n) noexcept { return std::to_chars(to, to + 20, n).ptr; }

// With zeroes before it.
template <int Digits>
char* put_digits(char* to, std::uint32_t n) noexcept {
  for (int i = Digits - 1; i >= 0; --i, n /= 10) to[i] = static_cast<char>('0' + n % 10);
  return to + Digits;
}

// A part of a v4 address: its digits, and a '.' behind them.
struct octet_text {
  char text[4];
  std::uint8_t size;
};

constexpr std::array<octet_text, 256> make_octets() noexcept {
  std::array<octet_text, 256> out{};
  for (unsigned n = 0; n < 256; ++n) {
    octet_text& o = out[n];
    if (n >= 100) o.text[o.size++] = static_cast<char>('0' + n / 100);
    if (n >= 10) o.text[o.size++] = static_cast<char>('0' + n / 10 % 10);
    o.text[o.size++] = static_cast<char>('0' + n % 10);
    o.text[o.size++] = '.';
  }
  return out;
}
constexpr std::array<octet_text, 256> octets = make_octets();

char* put_host(char* to, const peer_address& p) noexcept {
  const auto bytes = p.bytes();
  switch (p.what()) {
    case peer_address::kind::tcp4:
      for (const std::uint8_t each : bytes) {
        std::memcpy(to, octets[each].text, 4);
        to += octets[each].size;
      }
      return to - 1;
    case peer_address::kind::tcp6:
      ::inet_ntop(AF_INET6, bytes.data(), to, INET6_ADDRSTRLEN);
      return to + std::strlen(to);
    case peer_address::kind::unix_socket: return put(to, "unix");
    case peer_address::kind::none: break;
  }
  return put(to, "-");
}

// The second that was last asked for, as text: "28/Nov/2026:21:47:41 +0000" or "2026-11-28T21:47:41".
struct second_text {
  std::time_t when = -1;
  std::array<char, 40> text{};
  std::size_t size = 0;
};

// Hazard: a coroutine must not keep the address of a thread's variable. This is called and returns within one
// step of it, and is not inlined into it.
[[gnu::noinline]] std::string_view text_of(std::time_t second, access_format as) noexcept {
  static constinit thread_local std::array<second_text, 2> kept{};
  second_text& t = kept[static_cast<std::size_t>(as)];
  if (t.when == second) [[likely]]
    return {t.text.data(), t.size};
  std::tm parts{};
  if (as == access_format::combined)
    ::localtime_r(&second, &parts);
  else
    ::gmtime_r(&second, &parts);
  // Names of months are those of the C locale in the format, whatever the program's locale is.
  constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  char* to = t.text.data();
  const auto two = [&](int n) { to = put_digits<2>(to, static_cast<std::uint32_t>(n)); };
  const auto time = [&] {
    two(parts.tm_hour);
    *to++ = ':';
    two(parts.tm_min);
    *to++ = ':';
    two(parts.tm_sec);
  };
  const auto year = static_cast<std::uint32_t>(parts.tm_year + 1900);
  if (as == access_format::combined) {
    two(parts.tm_mday);
    *to++ = '/';
    to = put(to, months.substr(static_cast<std::size_t>(parts.tm_mon) * 3, 3));
    *to++ = '/';
    to = put_digits<4>(to, year);
    *to++ = ':';
    time();
    *to++ = ' ';
    const long minutes = parts.tm_gmtoff / 60;
    *to++ = minutes < 0 ? '-' : '+';
    to = put_digits<4>(to, static_cast<std::uint32_t>(std::abs(minutes) / 60 * 100 + std::abs(minutes) % 60));
  } else {
    to = put_digits<4>(to, year);
    *to++ = '-';
    two(parts.tm_mon + 1);
    *to++ = '-';
    two(parts.tm_mday);
    *to++ = 'T';
    time();
  }
  t.size = static_cast<std::size_t>(to - t.text.data());
  t.when = second;
  return {t.text.data(), t.size};
}

// Whether all eight bytes are printable ASCII, and neither `"` nor `\`.
bool is_plain(std::uint64_t eight) noexcept {
  constexpr std::uint64_t ones = 0x0101010101010101U;
  constexpr std::uint64_t highs = 0x8080808080808080U;
  const auto zero = [](std::uint64_t x) { return (x - ones) & ~x; };  // its high bits: bytes that are 0
  const std::uint64_t below_space = eight - ones * 0x20;
  const std::uint64_t is_delete = zero(eight ^ ones * 0x7f);
  return ((eight | (below_space & ~eight) | zero(eight ^ ones * '"') | zero(eight ^ ones * '\\') |
           is_delete) &
          highs) == 0;
}

bool is_plain(char c) noexcept { return c >= ' ' && c < 0x7f && c != '"' && c != '\\'; }

// Fewer than eight bytes, if they are plain. False: some are not.
bool put_few(char*& to, std::string_view text) noexcept {
  std::uint64_t eight = 0x2020202020202020U;
  char* const into = reinterpret_cast<char*>(&eight);
  std::size_t at = 0;
  for (const std::size_t size : {std::size_t{4}, std::size_t{2}, std::size_t{1}})
    if ((text.size() & size) != 0) {
      std::memcpy(into + at, text.data() + at, size);
      at += size;
    }
  if (!is_plain(eight)) return false;
  std::memcpy(to, &eight, 8);
  to += text.size();
  return true;
}

// Copies what needs no change; `text` is then what is left. Behind `end` there are 8 bytes of room.
char* put_plain(char* to, std::string_view& text, const char* end) noexcept {
  const char* from = text.data();
  const char* const last = from + text.size();
  while (last - from >= 8 && end - to >= 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, from, 8);
    if (!is_plain(eight)) break;
    std::memcpy(to, &eight, 8);
    to += 8;
    from += 8;
  }
  text = {from, static_cast<std::size_t>(last - from)};
  if (text.size() < 8 && end - to >= 8 && put_few(to, text)) {
    text = {};
    return to;
  }
  while (from != last && to != end && is_plain(*from)) *to++ = *from++;
  text = {from, static_cast<std::size_t>(last - from)};
  return to;
}

// `other(to, text)` writes one character of `text` that is not plain, at most `Widest` bytes, and removes it.
template <std::size_t Widest, class Other>
char* put_changed(char* to, std::string_view text, std::size_t most, Other other) noexcept {
  constexpr std::string_view dots = "...";
  const char* const end = to + most - dots.size();
  for (;;) {
    to = put_plain(to, text, end);
    if (text.empty()) return to;
    if (static_cast<std::size_t>(end - to) < Widest) return put(to, dots);
    to = other(to, text);
  }
}

// How many bytes the character that `text` begins with has; 0 if it is not UTF-8 (RFC 3629).
std::size_t size_of_character(std::string_view text) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto follows = [&](std::size_t i) { return i < text.size() && (at(i) & 0xc0) == 0x80; };
  const unsigned char first = at(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first < 0xe0) return follows(1) ? 2 : 0;
  if (first >= 0xe0 && first < 0xf0) {
    if (!follows(1) || !follows(2)) return 0;
    if (first == 0xe0 && at(1) < 0xa0) return 0;   // overlong
    if (first == 0xed && at(1) >= 0xa0) return 0;  // a surrogate
    return 3;
  }
  if (first >= 0xf0 && first < 0xf5) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    if (first == 0xf0 && at(1) < 0x90) return 0;   // overlong
    if (first == 0xf4 && at(1) >= 0x90) return 0;  // beyond U+10FFFF
    return 4;
  }
  return 0;
}

char* put_json_character(char* to, std::string_view& text) noexcept {
  const auto c = static_cast<unsigned char>(text.front());
  const std::size_t size = size_of_character(text);
  if (size > 1) {
    to = put(to, text.substr(0, size));
  } else if (size == 0) {
    to = put(to, "\\ufffd");
  } else if (c == '"' || c == '\\') {
    *to++ = '\\';
    *to++ = static_cast<char>(c);
  } else {
    to = put(to, "\\u00");
    *to++ = hex[c >> 4];
    *to++ = hex[c & 15];
  }
  text.remove_prefix(std::max<std::size_t>(size, 1));
  return to;
}

char* put_escaped_character(char* to, std::string_view& text) noexcept {
  const auto c = static_cast<unsigned char>(text.front());
  *to++ = '\\';
  *to++ = 'x';
  *to++ = hex[c >> 4];
  *to++ = hex[c & 15];
  text.remove_prefix(1);
  return to;
}

struct client_fields {
  std::string_view referer;
  std::string_view agent;
};

client_fields fields_of(const request& r) noexcept {
  constexpr std::string_view referer = "referer";
  constexpr std::string_view agent = "user-agent";
  client_fields out;
  for (std::size_t i = 0; i < r.size(); ++i) {
    const header h = r[i];
    if (h.name.size() == agent.size() && out.agent.empty() && same_name(h.name, agent))
      out.agent = h.value;
    else if (h.name.size() == referer.size() && out.referer.empty() && same_name(h.name, referer))
      out.referer = h.value;
  }
  return out;
}

char* put_status(char* to, int status) noexcept {
  return put_digits<3>(to, static_cast<std::uint32_t>(status));
}

// A token: nothing in it needs to be escaped.
char* put_method(char* to, const request& r) noexcept { return put(to, r.method().substr(0, most_method)); }

char* put_version(char* to, const request& r) noexcept {
  to = put(to, "HTTP/1.");
  *to++ = static_cast<char>('0' + r.minor());
  return to;
}

// As nginx's and Apache's "combined": host - user [time] "request" status bytes "referer" "agent".
char* put_combined(char* to, const access_entry& e, const ::timespec& now) noexcept {
  const auto or_dash = [](char* at, std::string_view text, std::size_t most) {
    return text.empty() ? put(at, "-") : put_escaped(at, text, most);
  };
  to = put_host(to, e.peer);
  to = put(to, " - - [");
  to = put(to, text_of(now.tv_sec, access_format::combined));
  to = put(to, "] \"");
  const request& r = e.request;
  if (r.method().empty()) {
    to = or_dash(to, e.first_line, most_target);
  } else {
    to = put_method(to, r);
    *to++ = ' ';
    to = put_escaped(to, r.target(), most_target);
    *to++ = ' ';
    to = put_version(to, r);
  }
  to = put(to, "\" ");
  to = put_status(to, e.status);
  *to++ = ' ';
  to = put_number(to, e.bytes);
  const client_fields f = fields_of(r);
  to = put(to, " \"");
  to = or_dash(to, f.referer, most_referer);
  to = put(to, "\" \"");
  to = or_dash(to, f.agent, most_agent);
  return put(to, "\"\n");
}

char* put_object(char* to, const access_entry& e, const ::timespec& now) noexcept {
  const request& r = e.request;
  const bool was_read = !r.method().empty();
  const client_fields f = fields_of(r);
  to = put(to, R"({"time":")");
  to = put(to, text_of(now.tv_sec, access_format::json));
  *to++ = '.';
  to = put_digits<3>(to, static_cast<std::uint32_t>(now.tv_nsec / 1'000'000));
  to = put(to, R"(Z","id":")");
  to = put_json(to, e.id, most_id);
  to = put(to, R"(","peer":")");
  to = put_host(to, e.peer);
  to = put(to, R"(","port":)");
  to = put_number(to, e.peer.port());
  to = put(to, R"(,"method":")");
  to = put_method(to, r);
  to = put(to, R"(","target":")");
  to = put_json(to, r.target(), most_target);
  to = put(to, R"(","version":")");
  if (was_read) to = put_version(to, r);
  if (!was_read) {
    to = put(to, R"(","line":")");
    to = put_json(to, e.first_line, most_target);
  }
  to = put(to, R"(","status":)");
  to = put_number(to, static_cast<std::uint64_t>(e.status));
  to = put(to, R"(,"bytes":)");
  to = put_number(to, e.bytes);
  to = put(to, R"(,"duration":)");
  const auto microseconds = static_cast<std::uint64_t>(std::max<std::int64_t>(e.duration.count(), 0)) / 1000;
  to = put_number(to, microseconds / 1'000'000);
  *to++ = '.';
  to = put_digits<6>(to, static_cast<std::uint32_t>(microseconds % 1'000'000));
  to = put(to, R"(,"referer":")");
  to = put_json(to, f.referer, most_referer);
  to = put(to, R"(","agent":")");
  to = put_json(to, f.agent, most_agent);
  return put(to, "\"}\n");
}

}  // namespace

char* put_escaped(char* to, std::string_view text, std::size_t most) noexcept {
  return put_changed<4>(to, text, most, put_escaped_character);
}

char* put_json(char* to, std::string_view text, std::size_t most) noexcept {
  return put_changed<6>(to, text, most, put_json_character);
}

char* put_access_line(char* to, access_format as, const access_entry& e, const ::timespec& now) noexcept {
  return as == access_format::json ? put_object(to, e, now) : put_combined(to, e, now);
}

}  // namespace weir::http
