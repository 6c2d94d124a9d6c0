#pragma once
// kv: answers in RESP2 or RESP3, written where they will be sent from.

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <weir/connection/write_buffer.hpp>

#include "number.hpp"

namespace kv {

class reply {
 public:
  explicit reply(weir::write_buffer& out, std::uint8_t protocol = 2) noexcept
      : out_(&out), protocol_(protocol) {}

  void ok() { out_->write("+OK\r\n"); }
  void null() { out_->write(protocol_ == 2 ? "$-1\r\n" : "_\r\n"); }
  void null_array() { out_->write(protocol_ == 2 ? "*-1\r\n" : "_\r\n"); }
  void simple(std::string_view text) { line('+', text); }
  // `text` begins with its kind, "ERR" or another word in capitals. Line ends, which a client may have sent,
  // would forge another answer: they become spaces.
  void error(std::string_view text) {
    text = text.substr(0, text.find_last_not_of("\r\n") + 1);
    char* const start = out_->reserve(1 + text.size() + 2);
    *start = '-';
    char* const end = copy(start + 1, text);
    std::replace_if(start, end, [](char c) { return c == '\r' || c == '\n'; }, ' ');
    out_->commit(copy(end, "\r\n"));
  }
  void integer(std::int64_t value) { line(':', text_of(value).view()); }
  void array(std::size_t size) { line('*', text_of(static_cast<std::int64_t>(size)).view()); }
  // What the second version knows only as an array: pairs, values without an order, and what is no answer.
  void map(std::size_t pairs) {
    if (protocol_ == 2) return array(2 * pairs);
    line('%', text_of(static_cast<std::int64_t>(pairs)).view());
  }
  void set(std::size_t size) {
    line(protocol_ == 2 ? '*' : '~', text_of(static_cast<std::int64_t>(size)).view());
  }
  void push(std::size_t size) {
    line(protocol_ == 2 ? '*' : '>', text_of(static_cast<std::int64_t>(size)).view());
  }
  // Text for people.
  void verbatim(std::string_view text) {
    if (protocol_ == 2) return bulk(text);
    line('=', text_of(static_cast<std::int64_t>(text.size() + 4)).view());
    out_->write("txt:"), out_->write(text), out_->write("\r\n");
  }
  void bulk(std::string_view text) {
    char* at = out_->reserve(text.size() + 32);
    *at++ = '$';
    at = std::to_chars(at, at + 20, text.size()).ptr;
    at = copy(at, "\r\n");
    at = copy(at, text);
    out_->commit(copy(at, "\r\n"));
  }

  [[nodiscard]] weir::write_buffer& buffer() noexcept { return *out_; }

 private:
  static char* copy(char* to, std::string_view text) noexcept {
    std::memcpy(to, text.data(), text.size());
    return to + text.size();
  }
  void line(char kind, std::string_view text) {
    char* at = out_->reserve(1 + text.size() + 2);
    *at++ = kind;
    at = copy(at, text);
    out_->commit(copy(at, "\r\n"));
  }

  weir::write_buffer* out_;
  std::uint8_t protocol_;
};

}  // namespace kv
