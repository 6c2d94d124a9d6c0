#pragma once
// http: names and values as browsers write them: queries, forms, cookies.

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir::http {

// Without its escapes, "%2F". nullopt for a malformed one.
[[nodiscard]] std::optional<std::string> percent_decoded(std::string_view text);

// The fields of "a=1&b=x+y%21", a query or the body of a form, decoded and in their order. As browsers read
// them: '+' is a space, and a malformed escape stands for itself.
// Thread: a value.
class form {
 public:
  explicit form(std::string_view text);

  // The value of the first field of that name.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return fields_.size(); }
  [[nodiscard]] const std::pair<std::string, std::string>& operator[](std::size_t i) const noexcept {
    return fields_[i];
  }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// The value of `name` in a Cookie header, "a=1; b=2", as it was sent, without quotes around it.
[[nodiscard]] std::optional<std::string_view> cookie_value(std::string_view header,
                                                           std::string_view name) noexcept;

// A cookie to be set:
//   x.add_header("Set-Cookie", weir::http::cookie{.name = "session", .value = id, .secure = true}.text());
// Default: for the whole site, until the browser is closed, out of reach of scripts and other sites.
struct cookie {
  std::string name;
  std::string value;
  std::string path = "/";
  std::optional<std::chrono::seconds> max_age = {};  // 0s: deletes it
  bool secure = false;                               // over TLS only
  bool http_only = true;
  std::string same_site = "Lax";

  // Errors: std::invalid_argument for a character that a cookie may not have.
  [[nodiscard]] std::string text() const;
};

}  // namespace weir::http
