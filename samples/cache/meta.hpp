#pragma once
// cache: the words behind the name of a meta command, as a value.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "command.hpp"

namespace cache {

enum class meta_kind : std::uint8_t { get, set, remove, add };

// A key, for `ms` the size of the value, and flags: a letter each, with or without something behind it.
class meta_request {
 public:
  static constexpr std::size_t most_flags = 17;

  meta_request(meta_kind kind, std::string_view rest) noexcept;
  meta_request(const meta_request&) = delete;
  meta_request& operator=(const meta_request&) = delete;

  [[nodiscard]] std::string_view key() const noexcept { return key_; }
  // In the order in which they were given.
  [[nodiscard]] std::span<const std::string_view> flags() const noexcept { return {flags_.data(), count_}; }

  std::string_view error;  // the reply; empty if the request is right
  refused takes = refused::line;

  std::uint32_t size = 0;                                   // of the value behind an `ms`
  bool has_binary_key = false;                              // b: the key was given in base64
  bool shows_value = false;                                 // v
  bool is_quiet = false;                                    // q
  bool keeps_age = false;                                   // u: not counted as a use
  bool may_be_stale = false;                                // I
  char mode = 0;                                            // M
  std::optional<std::int64_t> exptime = std::nullopt;       // T
  std::optional<std::int64_t> exptime_new = std::nullopt;   // N: what is not there is made
  std::optional<std::int64_t> exptime_anew = std::nullopt;  // R: below it a client is told to make it anew
  std::uint32_t client_flags = 0;                           // F
  std::uint64_t expected = 0;                               // C
  std::uint64_t delta = 1;                                  // D
  std::uint64_t initial = 0;                                // J

 private:
  void read(meta_kind kind, std::string_view rest) noexcept;
  // False: not a flag, or given twice.
  [[nodiscard]] bool take_flag(std::string_view word, std::array<bool, 128>& seen) noexcept;
  void decode_key() noexcept;
  void complain(std::string_view what) noexcept {
    if (error.empty()) error = what;
  }

  std::string_view key_;
  std::array<std::string_view, most_flags> flags_;
  std::size_t count_ = 0;
  std::array<char, longest_key> decoded_;
};

// What was read from base64, as it is shown: at `to`, where there is room for 4/3 and 4 more. Returns the
// end.
[[nodiscard]] char* put_base64(char* to, std::string_view bytes) noexcept;

}  // namespace cache
