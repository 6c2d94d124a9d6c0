#pragma once
// kv: requests out of bytes, where they lie: RESP arrays of bulk strings, and lines typed by hand.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kv {

// The words of one request; the first is the command's name. Views into what was parsed.
class arguments {
 public:
  struct slice {
    std::uint32_t at;
    std::uint32_t size;
  };

  arguments() = default;
  arguments(const char* base, const slice* first, std::size_t count) noexcept
      : base_(base), first_(first), count_(count) {}

  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] std::string_view operator[](std::size_t i) const noexcept {
    return {base_ + first_[i].at, first_[i].size};
  }
  [[nodiscard]] std::string_view name() const noexcept { return (*this)[0]; }

  // The same words, whose places are kept at `to`.
  [[nodiscard]] arguments copied_to(slice* to) const noexcept {
    std::copy_n(first_, count_, to);
    return {base_, to, count_};
  }

 private:
  const char* base_ = nullptr;
  const slice* first_ = nullptr;
  std::size_t count_ = 0;
};

// Problem: a request may come in any number of pieces, and may claim sizes that never come. The parser looks
// at the bytes where they are buffered, copies none of them, remembers how far it got, and takes memory only
// for what has really come.
//
//   switch (parser.parse(buffered)) {
//     case request_parser::result::complete:   run(parser.words()); consume(parser.size());
//     case request_parser::result::incomplete: call again with more behind the same bytes
//     case request_parser::result::refused:    answer parser.error() and close
//   }
class request_parser {
 public:
  enum class result : std::uint8_t { complete, incomplete, refused };

  static constexpr std::int64_t most_words = INT32_MAX;
  static constexpr std::size_t longest_line = 64 * 1024;
  static constexpr std::size_t default_longest_bulk = 512 * 1024 * 1024;

  // Bytes of the longest word. A client that is not trusted has not authenticated yet: it may send little.
  void set_limits(std::size_t longest_bulk, bool is_trusted = true) noexcept {
    longest_bulk_ = longest_bulk;
    is_trusted_ = is_trusted;
  }

  // `in` begins where the request begins. An empty request is complete and has no words.
  result parse(std::string_view in);

  // After `complete`, until the next call: the words, and how many bytes the request takes.
  [[nodiscard]] arguments words() const noexcept { return {base_, slices_.data(), count_}; }
  [[nodiscard]] std::size_t size() const noexcept { return at_; }
  // Whether the words lie in what was parsed, so that they stay there.
  [[nodiscard]] bool is_in_place() const noexcept { return base_ != unquoted_.data(); }

  // Forgets what it has seen: the next call begins a request.
  void start_over() noexcept { over_ = true; }

  // After `refused`: what to answer. There is no way to find the next request.
  [[nodiscard]] const std::string& error() const noexcept { return error_; }

 private:
  enum class line : std::uint8_t { whole, incomplete, wrong };

  void begin_anew();
  result begin(std::string_view in);
  void take_short_words(std::string_view in) noexcept;
  result parse_inline(std::string_view in);
  result refuse(std::string text);
  bool split_line(std::string_view text);
  void add_word(std::size_t at, std::size_t size);
  // The number between its mark, at at_, and the end of the line, behind which at_ is then.
  line read_number(std::string_view in, std::int64_t& value) noexcept;

  static constexpr std::int64_t unknown = -1;

  // Of a client that is not trusted.
  static constexpr std::int64_t most_words_of_stranger = 10;
  static constexpr std::int64_t longest_bulk_of_stranger = 16384;

  std::size_t longest_bulk_ = default_longest_bulk;
  bool is_trusted_ = true;
  std::size_t at_ = 0;  // what is parsed of this request
  std::int64_t words_left_ = unknown;
  std::int64_t bulk_ = unknown;  // bytes of the word under way
  bool over_ = true;             // the next call begins a request
  const char* base_ = nullptr;
  std::vector<arguments::slice> slices_;  // of which the first are used
  std::size_t count_ = 0;
  std::string unquoted_;  // of a typed line, whose words are not what was typed
  std::string error_;
};

}  // namespace kv
