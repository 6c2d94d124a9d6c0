#pragma once
// tests: whether what a server has answered is whole, by protocol.

#include <charconv>
#include <cstddef>
#include <optional>
#include <string_view>

namespace test::whole {

inline std::optional<std::size_t> number(std::string_view text) {
  std::size_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

// Takes a line with its end from the front; nothing if there is none.
inline std::optional<std::string_view> line(std::string_view& text) {
  const std::size_t end = text.find("\r\n");
  if (end == text.npos) return std::nullopt;
  const std::string_view out = text.substr(0, end);
  text.remove_prefix(end + 2);
  return out;
}

inline bool take(std::string_view& text, std::size_t size) {
  if (text.size() < size) return false;
  text.remove_prefix(size);
  return true;
}

inline bool lines(std::string_view text) { return text.empty() || text.ends_with('\n'); }

// Redis' protocol.
inline bool resp_reply(std::string_view& text) {
  const auto head = line(text);
  if (!head || head->empty()) return false;
  if (head->starts_with("$")) return *head == "$-1" || take(text, number(head->substr(1)).value_or(0) + 2);
  if (!head->starts_with("*") || *head == "*-1") return true;
  for (std::size_t n = number(head->substr(1)).value_or(0); n > 0; --n)
    if (!resp_reply(text)) return false;
  return true;
}
inline bool resp(std::string_view text) {
  while (!text.empty())
    if (!resp_reply(text)) return false;
  return true;
}

// memcached's text protocol: values are followed by END.
inline bool memcached(std::string_view text) {
  bool in_values = false;
  while (!text.empty()) {
    const auto head = line(text);
    if (!head) return false;
    in_values = head->starts_with("VALUE ");
    if (!in_values) continue;
    std::string_view words = head->substr(6);
    words.remove_prefix(words.find(' ') + 1);  // the key
    words.remove_prefix(words.find(' ') + 1);  // the flags
    if (!take(text, number(words.substr(0, words.find(' '))).value_or(0) + 2)) return false;
  }
  return !in_values;
}

// Answers with a length; to HEAD there is none here.
inline bool http(std::string_view text) {
  while (!text.empty()) {
    std::size_t body = 0;
    for (;;) {
      const auto field = line(text);
      if (!field) return false;
      if (field->empty()) break;
      if (field->starts_with("Content-Length: ")) body = number(field->substr(16)).value_or(0);
    }
    if (!take(text, body)) return false;
  }
  return true;
}

// An answer to an upgrade, and messages of a server: without masks.
inline bool websocket(std::string_view text) {
  const std::size_t head = text.find("\r\n\r\n");
  if (!text.starts_with("HTTP/1.1 101")) return http(text);
  if (head == text.npos) return false;
  text.remove_prefix(head + 4);
  while (!text.empty()) {
    if (text.size() < 2) return false;
    std::size_t size = static_cast<unsigned char>(text[1]);
    text.remove_prefix(2);
    if (size == 126) {
      if (text.size() < 2) return false;
      size = static_cast<std::size_t>(static_cast<unsigned char>(text[0])) << 8U |
             static_cast<unsigned char>(text[1]);
      text.remove_prefix(2);
    }
    if (!take(text, size)) return false;
  }
  return true;
}

}  // namespace test::whole
