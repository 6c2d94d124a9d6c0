// Whatever a client of the kv sample sends: answers that are whole, the same in whichever pieces it came, and
// memory that is bounded and given back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "guest.hpp"
#include "request_parser.hpp"

namespace {

constexpr std::size_t longest_string = 64 * 1024;  // or a request of two lines would take half a gigabyte

// Words and errors, each with its size.
std::string parsed(std::string_view stream, std::size_t piece) {
  kv::request_parser parser;
  parser.set_limits(longest_string);
  std::string out;
  std::string buffered;
  for (std::size_t at = 0; at < stream.size(); at += piece) {
    buffered = std::string(buffered.begin(), buffered.end()).append(stream.substr(at, piece));
    for (;;) {
      const auto result = parser.parse(buffered);
      if (result == kv::request_parser::result::incomplete) break;
      if (result == kv::request_parser::result::refused) return out + parser.error();
      for (std::size_t i = 0; i < parser.words().size(); ++i)
        out.append(std::to_string(parser.words()[i].size())).append(":").append(parser.words()[i]);
      out += ';';
      buffered.erase(0, parser.size());
    }
  }
  return out;
}

// Where a reply ends that begins at `at`. Ends the program if it is none.
std::size_t end_of_reply(std::string_view text, std::size_t at) {
  const std::size_t line = text.find("\r\n", at);
  if (line == std::string_view::npos) std::abort();
  const std::string number(text.substr(at + 1, line - at - 1));
  switch (text[at]) {
    case '+':
    case '-':
    case '_': return number.find_first_of("\r\n") == std::string::npos ? line + 2 : (std::abort(), 0);
    case ':': return kv::integer_of(number) ? line + 2 : (std::abort(), 0);
    case '$': {
      const auto size = kv::integer_of(number).value();
      if (size == -1) return line + 2;
      const std::size_t end = line + 2 + static_cast<std::size_t>(size) + 2;
      if (end > text.size() || text.substr(end - 2, 2) != "\r\n") std::abort();
      return end;
    }
    case '=':
    case '*':
    case '~':
    case '>':
    case '%': {
      std::size_t end = line + 2;
      if (text[at] == '=') return end + static_cast<std::size_t>(kv::integer_of(number).value()) + 2;
      const int each = text[at] == '%' ? 2 : 1;
      for (auto left = kv::integer_of(number).value() * each; left > 0; --left) end = end_of_reply(text, end);
      return end;
    }
    default: std::abort();
  }
}

// Replies, and after a subscription messages, which come the other way. All are whole.
std::string said(kv::guest& client, weir::write_buffer& out) {
  std::string text(out.text());
  out.clear();
  if (const auto box = client.messages())
    while (const auto next = box->try_receive()) {
      text += **next;
      box->sent((*next)->size());
    }
  for (std::size_t seen = 0; seen < text.size();) seen = end_of_reply(text, seen);
  return text;
}

void answer(std::string_view stream, std::size_t piece) {
  kv::engine host;
  {
    kv::guest other(host, "");  // which hears and watches what the client does
    weir::write_buffer none;
    other.run("PSUBSCRIBE *\r\n", 1'000'000, none);
    kv::guest client(host, "");
    kv::milliseconds_since_1970 now = 1'000'000;
    weir::write_buffer out;
    std::string buffered;
    for (std::size_t at = 0; at < stream.size() && !client.state().leaves; at += piece) {
      buffered = std::string(buffered.begin(), buffered.end()).append(stream.substr(at, piece));
      for (bool more = true; more && !client.state().leaves;) {
        host.limits() = {.longest_string = longest_string, .memory = 0};
        const auto did = client.run(buffered, now, out);
        buffered.erase(0, did.bytes);
        static_cast<void>(said(client, out));
        static_cast<void>(said(other, none));
        more = did.is_full;
      }
      now += 700;
      host.set_time(now);
      while (host.expire()) continue;
    }
  }
  host.meet_clients();
  if (host.subscribers().channels() != 0 || host.subscribers().patterns() != 0) std::abort();
  host.keys().clear();
  if (host.keys().memory() != kv::engine().keys().memory() || host.keys().expiring() != 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  // The first byte tells how large the pieces are.
  const std::size_t piece = data[0] % 64 + 1U;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (parsed(stream, stream.size() + 1) != parsed(stream, piece)) std::abort();
  answer(stream, data[0] >= 128 ? stream.size() + 1 : piece);
  return 0;
}
