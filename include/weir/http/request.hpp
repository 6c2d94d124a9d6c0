#pragma once
// http: the head of a request, as views of the received bytes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace weir::http {

struct header {
  std::string_view name;
  std::string_view value;
};

// How the body is framed, and whether the connection is kept.
struct framing {
  bool keep_alive = true;
  bool chunked = false;
  bool expects_continue = false;
  std::uint64_t length = 0;  // of a body that is not chunked

  bool operator==(const framing&) const = default;
};

// Thread: a value. Lifetime: the bytes belong to the reader; see exchange for how long they are valid.
class request {
 public:
  [[nodiscard]] std::string_view method() const noexcept { return {base_, method_}; }
  // As it was sent: "/a%20b?c", "http://host/a", "*".
  [[nodiscard]] std::string_view target() const noexcept { return {base_ + target_, target_size_}; }
  // The path of the target and the query after its '?', both as they were sent.
  // A target without a path, "http://host", has the path "/".
  [[nodiscard]] std::string_view path() const noexcept {
    return path_size_ == 0 ? std::string_view("/") : std::string_view{base_ + path_, path_size_};
  }
  [[nodiscard]] std::string_view query() const noexcept { return {base_ + query_, query_size_}; }
  // 1 in HTTP/1.1.
  [[nodiscard]] int minor() const noexcept { return minor_; }
  [[nodiscard]] const http::framing& framing() const noexcept { return framing_; }

  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] header operator[](std::size_t i) const noexcept {
    const field& f = i < inline_fields ? fields_[i] : more_[i - inline_fields];
    return {{base_ + f.name, f.name_size}, {base_ + f.value, f.value_size}};
  }
  // The value of the first header of that name, ignoring case.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept;

  // Makes it empty: for a request that could not be parsed.
  void clear() noexcept {
    base_ = "";
    method_ = target_size_ = path_size_ = query_size_ = count_ = 0;
    target_ = path_ = query_ = 0;
    minor_ = 1;
    framing_ = {};
  }
  // The bytes have been moved to `base`.
  void move_to(const char* base) noexcept { base_ = base; }

 private:
  friend class request_parser;
  friend struct head_reading;
  // Offsets in 16 bits: the fields of a usual request are 512 bytes, and the whole can be moved with its
  // bytes.
  struct field {
    std::uint16_t name, name_size, value, value_size;
  };
  static constexpr std::size_t inline_fields = 64;

  [[nodiscard]] field& at(std::size_t i) noexcept {
    return i < inline_fields ? fields_[i] : more_[i - inline_fields];
  }
  // False: there is no memory.
  [[nodiscard]] bool add(const field& f) noexcept {
    if (count_ >= inline_fields) [[unlikely]]
      return add_more(f);
    fields_[count_++] = f;
    return true;
  }
  [[nodiscard]] bool add_more(const field& f) noexcept;

  const char* base_ = "";
  std::uint16_t method_ = 0, target_ = 0, target_size_ = 0, path_ = 0, path_size_ = 0, query_ = 0,
                query_size_ = 0, count_ = 0;
  std::uint8_t minor_ = 1;
  http::framing framing_;
  std::array<field, inline_fields> fields_;  // the first count_ have been set
  std::vector<field> more_;                  // of a request with more
};

}  // namespace weir::http
