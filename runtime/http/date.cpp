#include "weir/http/detail/date.hpp"

#include <array>
#include <cstring>

#include "weir/http/field_text.hpp"

namespace weir::http {

namespace {

constexpr std::string_view days = "SunMonTueWedThuFriSat";
constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";

char* put(char* to, std::string_view text) {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

char* put_two(char* to, int value) {
  *to++ = static_cast<char>('0' + value / 10 % 10);
  *to++ = static_cast<char>('0' + value % 10);
  return to;
}

constexpr std::string_view long_days[]{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};

struct cached_date {
  std::time_t when = 0;
  std::array<char, date_size> text{};
};

std::optional<std::time_t> parse_fixed(std::string_view text) noexcept {
  if (text.size() != date_size) return std::nullopt;
  const auto number = [&](std::size_t at, std::size_t size) {
    return decimal(text.substr(at, size)).value_or(99999);
  };
  const std::size_t month = months.find(text.substr(8, 3));
  if (month == months.npos || month % 3 != 0) return std::nullopt;
  std::tm t{};
  t.tm_mday = static_cast<int>(number(5, 2));
  t.tm_mon = static_cast<int>(month / 3);
  t.tm_year = static_cast<int>(number(12, 4)) - 1900;
  t.tm_hour = static_cast<int>(number(17, 2));
  t.tm_min = static_cast<int>(number(20, 2));
  t.tm_sec = static_cast<int>(number(23, 2));
  if (t.tm_year > 8099) return std::nullopt;
  const std::time_t when = ::timegm(&t);
  // A date that does not print as it was written has a field out of range, or extra characters.
  std::array<char, date_size> again{};
  write_date(again.data(), when);
  if (text != std::string_view(again.data(), again.size())) return std::nullopt;
  return when;
}

}  // namespace

void write_date(char* to, std::time_t when) noexcept {
  std::tm t{};
  ::gmtime_r(&when, &t);
  const auto nth = [](std::string_view names, int n) {
    return names.substr(static_cast<std::size_t>(n) * 3, 3);
  };
  to = put(put(to, nth(days, t.tm_wday)), ", ");
  to = put(put_two(to, t.tm_mday), " ");
  to = put(put(to, nth(months, t.tm_mon)), " ");
  to = put_two(put_two(to, (t.tm_year + 1900) / 100), t.tm_year + 1900);
  to = put_two(put(to, " "), t.tm_hour);
  to = put_two(put(to, ":"), t.tm_min);
  to = put_two(put(to, ":"), t.tm_sec);
  put(to, " GMT");
}

// Hazard: a coroutine may continue on another thread and must not keep the address of this thread's text,
// which inlining would allow.
[[gnu::noinline]] void write_date_of_now(char* to) noexcept {
  static thread_local cached_date kept;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != kept.when) {
    kept.when = now.tv_sec;
    write_date(kept.text.data(), now.tv_sec);
  }
  std::memcpy(to, kept.text.data(), date_size);
}

// The obsolete forms are brought into the other one: "Sunday, 06-Nov-94 08:49:37 GMT" (RFC 850) and
// "Sun Nov  6 08:49:37 1994" (asctime).
std::optional<std::time_t> parse_date(std::string_view text) noexcept {
  std::array<char, date_size> fixed{};
  const auto compose = [&](std::string_view weekday, std::string_view day, std::string_view month,
                           std::string_view century, std::string_view year, std::string_view time) {
    char* to = put(put(fixed.data(), weekday), ", ");
    to = put(put(to, day), " ");
    if (fixed[5] == ' ') fixed[5] = '0';
    to = put(put(to, month), " ");
    to = put(put(put(to, century), year), " ");
    put(put(to, time), " GMT");
    return parse_fixed({fixed.data(), fixed.size()});
  };
  if (text.size() == date_size && text[3] == ',') return parse_fixed(text);
  if (text.size() == 24 && text[3] == ' ' && text[7] == ' ' && text[10] == ' ' && text[19] == ' ')
    return compose(text.substr(0, 3), text.substr(8, 2), text.substr(4, 3), text.substr(20, 2),
                   text.substr(22), text.substr(11, 8));
  for (const std::string_view day : long_days) {
    const std::string_view rest = text.substr(std::min(day.size(), text.size()));
    if (!text.starts_with(day) || rest.size() != 24 || !rest.ends_with(" GMT")) continue;
    if (!rest.starts_with(", ") || rest[4] != '-' || rest[8] != '-' || rest[11] != ' ') return std::nullopt;
    // Two digits of a year: 1970 to 2069.
    return compose(day.substr(0, 3), rest.substr(2, 2), rest.substr(5, 3), rest[9] >= '7' ? "19" : "20",
                   rest.substr(9, 2), rest.substr(12, 8));
  }
  return std::nullopt;
}

}  // namespace weir::http
