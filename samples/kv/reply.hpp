#pragma once
// kv: answers in RESP2, written where they will be sent from.

#include <cstring>
#include <string_view>

#include <weir/connection/write_buffer.hpp>

#include "number.hpp"

namespace kv {

class reply {
 public:
  explicit reply(weir::write_buffer& out) noexcept : out_(out) {}

  void ok() { out_.write("+OK\r\n"); }
  void null() { out_.write("$-1\r\n"); }
  void null_array() { out_.write("*-1\r\n"); }
  void simple(std::string_view text) { line('+', text); }
  // `text` begins with its kind, "ERR" or another word in capitals.
  void error(std::string_view text) { line('-', text); }
  void integer(std::int64_t value) { line(':', text_of(value).view()); }
  void array(std::size_t size) { line('*', text_of(static_cast<std::int64_t>(size)).view()); }
  void bulk(std::string_view text) {
    const auto size = text_of(static_cast<std::int64_t>(text.size()));
    char* at = out_.reserve(1 + size.size + 2 + text.size() + 2);
    *at++ = '$';
    at = copy(at, size.view());
    at = copy(at, "\r\n");
    at = copy(at, text);
    out_.commit(copy(at, "\r\n"));
  }

  [[nodiscard]] weir::write_buffer& buffer() noexcept { return out_; }

 private:
  static char* copy(char* to, std::string_view text) noexcept {
    std::memcpy(to, text.data(), text.size());
    return to + text.size();
  }
  void line(char kind, std::string_view text) {
    char* at = out_.reserve(1 + text.size() + 2);
    *at++ = kind;
    at = copy(at, text);
    out_.commit(copy(at, "\r\n"));
  }

  weir::write_buffer& out_;
};

}  // namespace kv
