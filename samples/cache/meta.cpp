#include "meta.hpp"

#include <algorithm>

#include "number.hpp"

namespace cache {
namespace {

constexpr std::string_view bad_format = "CLIENT_ERROR bad command line format";
constexpr std::string_view bad_token = "CLIENT_ERROR bad token in command line format";
constexpr std::size_t longest_opaque = 32;  // with its letter

constexpr std::string_view digits64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// Decodes as memcached does: what is no digit is skipped. Returns the number of bytes; 0 if it is no base64.
std::size_t decode(std::string_view text, char* to) noexcept {
  std::size_t digits = 0;
  for (const char c : text) digits += c == '=' || digits64.find(c) != std::string_view::npos;
  if (digits == 0 || digits % 4 != 0) return 0;
  std::size_t written = 0;
  std::uint32_t block = 0;
  unsigned count = 0;
  unsigned padding = 0;
  for (const char c : text) {
    const std::size_t digit = digits64.find(c);
    if (c == '=')
      ++padding;
    else if (digit == std::string_view::npos)
      continue;
    block = block << 6 | static_cast<std::uint32_t>(c == '=' ? 0 : digit);
    if (++count % 4 != 0) continue;
    for (const int shift : {16, 8, 0}) to[written++] = static_cast<char>(block >> shift);
    block = 0;
    if (padding == 0) continue;
    return padding > 2 ? 0 : written - padding;
  }
  return written;
}

}  // namespace

char* put_base64(char* to, std::string_view bytes) noexcept {
  for (; !bytes.empty(); bytes.remove_prefix(std::min<std::size_t>(bytes.size(), 3))) {
    std::uint32_t block = 0;
    for (std::size_t i = 0; i < 3; ++i)
      block = block << 8 | (i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U);
    for (std::size_t i = 0; i < 4; ++i)
      *to++ = i <= bytes.size() ? digits64[block >> (18 - 6 * i) & 63] : '=';
  }
  return to;
}

meta_request::meta_request(meta_kind kind, std::string_view rest) noexcept { read(kind, rest); }

void meta_request::read(meta_kind kind, std::string_view rest) noexcept {
  key_ = take_word(rest);
  const std::string_view sized = kind == meta_kind::set ? take_word(rest) : std::string_view();
  if (kind == meta_kind::set) {
    const auto given = size_in(sized);
    takes = given ? refused::data : refused::session;
    size = given.value_or(0);
  }
  if (key_.size() > longest_key || (kind == meta_kind::set && sized.empty())) return complain(bad_format);
  std::array<std::string_view, most_flags> all;
  std::size_t words = kind == meta_kind::set ? 1 : 0;
  for (std::string_view word = take_word(rest); !word.empty(); word = take_word(rest)) {
    if (++words > most_flags)
      return complain(kind == meta_kind::get ? "CLIENT_ERROR options flags are too long"
                                             : "CLIENT_ERROR options flags too long");
    all[count_++] = word;
  }
  std::array<bool, 128> seen{};
  for (std::size_t i = 0; i < count_; ++i)
    if (!take_flag(all[i], seen)) break;
  flags_ = all;
  const bool tells_little = kind == meta_kind::remove || kind == meta_kind::add;
  if (!error.empty() && tells_little) error = "CLIENT_ERROR invalid or duplicate flag";
  if (!error.empty()) return;
  if (kind == meta_kind::set && takes == refused::session) return complain(bad_format);
  if (kind == meta_kind::set && std::string_view("\0EAPRSeaprs", 11).find(mode) == std::string_view::npos)
    return complain("CLIENT_ERROR invalid mode for ms M token");
  if (kind == meta_kind::add && std::string_view("\0Ii+Dd-", 7).find(mode) == std::string_view::npos)
    return complain("CLIENT_ERROR invalid mode for ma M token");
  for (const std::string_view flag : flags())
    if (flag[0] == 'O' && flag.size() > longest_opaque) return complain("CLIENT_ERROR opaque token too long");
}

// Of several mistakes the last is told.
bool meta_request::take_flag(std::string_view word, std::array<bool, 128>& seen) noexcept {
  const auto letter = static_cast<unsigned char>(word[0]);
  if (letter >= 127 || seen[letter]) {
    error = "CLIENT_ERROR duplicate flag";
    return false;
  }
  seen[letter] = true;
  const std::string_view behind = word.substr(1);
  const auto take_time = [&](std::optional<std::int64_t>& into) {
    into = exptime_in(behind);
    if (!into) error = bad_token;
  };
  const auto take_number = [&](std::uint64_t& into, std::string_view what) {
    if (const auto number = unsigned_in(behind))
      into = *number;
    else
      error = what;
  };
  switch (letter) {
    case 'b': decode_key(); break;
    case 'N': take_time(exptime_new); break;
    case 'T': take_time(exptime); break;
    case 'R': take_time(exptime_anew); break;
    case 'v': shows_value = true; break;
    case 'u': keeps_age = true; break;
    case 'q': is_quiet = true; break;
    case 'I': may_be_stale = true; break;
    case 'F':
      if (const auto flags = flags_in(behind))
        client_flags = *flags;
      else
        complain(bad_format);
      break;
    case 'C': take_number(expected, bad_token); break;
    case 'D': take_number(delta, "CLIENT_ERROR invalid numeric delta value"); break;
    case 'J': take_number(initial, "CLIENT_ERROR invalid numeric initial value"); break;
    case 'M':
      if (behind.size() != 1) error = "CLIENT_ERROR incorrect length for M token";
      mode = behind.empty() ? '\0' : behind[0];
      break;
    case 'O':
    case 'P':
    case 'L':
    case 'k':
    case 's':
    case 't':
    case 'c':
    case 'f':
    case 'l':
    case 'h': break;
    default: error = "CLIENT_ERROR invalid flag"; return false;
  }
  return true;
}

void meta_request::decode_key() noexcept {
  const std::size_t size_of_key = decode(key_, decoded_.data());
  has_binary_key = true;
  if (size_of_key == 0)
    error = "CLIENT_ERROR error decoding key";
  else
    key_ = {decoded_.data(), size_of_key};
}

}  // namespace cache
