#pragma once
// config: makes the rows of the table of tunables, a kind of value each.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <type_traits>

#include "quantity.hpp"
#include "suggestion.hpp"
#include "weir/config/detail/names.hpp"
#include "weir/config/detail/tunable.hpp"

namespace weir::rows {

inline std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + '"';
}

// The value as it was written, for an error.
inline std::string shown(const written& value) {
  struct visitor {
    std::string operator()(const untyped& v) const { return quoted(v.text); }
    std::string operator()(const std::string& v) const { return quoted(v); }
    std::string operator()(std::int64_t v) const { return fmt::format("{}", v); }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(const std::vector<std::string>& v) const {
      return fmt::format("[{}]", fmt::join(v, ", "));
    }
    std::string operator()(const unusable& v) const { return std::string(v.what); }
  };
  return std::visit(visitor(), value);
}

// A number as it was written, which may be more than fits; anything else as it is shown.
inline std::string out_of_range(const written& value, std::string_view range) {
  const auto* plain = std::get_if<untyped>(&value);
  const bool is_number = plain != nullptr && parse_integer(plain->text);
  return fmt::format("{} is out of range; allowed: {}", is_number ? plain->text : shown(value), range);
}

inline std::string expected(std::string_view what, const written& value, std::string_view range) {
  return fmt::format("expected {}, found {}; allowed: {}", what, shown(value), range);
}

// The text of a value that TOML writes as a string; null for any other type.
inline const std::string* text_of(const written& value) {
  if (const auto* plain = std::get_if<untyped>(&value)) return &plain->text;
  return std::get_if<std::string>(&value);
}

inline std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at <= text.size();) {
    const auto end = std::min(text.find(',', at), text.size());
    out.emplace_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

// A list of texts, or one of them; nothing for any other type. "" is the empty list.
inline std::optional<std::vector<std::string>> texts_of(const written& value) {
  std::vector<std::string> all;
  if (const auto* typed = std::get_if<std::vector<std::string>>(&value))
    all = *typed;
  else if (const auto* one = std::get_if<std::string>(&value))
    all = {*one};
  else if (const auto* plain = std::get_if<untyped>(&value))
    all = split(plain->text);
  else
    return std::nullopt;
  if (all.size() == 1 && all.front().empty()) all.clear();
  return all;
}

// The functions below each make one kind of row. `Member` is a generic lambda from settings to the member.
template <class Member>
using member_type = std::remove_cvref_t<std::invoke_result_t<Member, settings&>>;

template <class Member>
tunable count(std::string_view key, std::string_view unit, std::int64_t least, std::int64_t most,
              Member member, std::string help) {
  const auto range = fmt::format("{}..{}{}{}", least, most, unit.empty() ? "" : " ", unit);
  return {key, std::move(help), range, [=](const settings& s) { return fmt::format("{}", member(s)); },
          [=](settings& s, const written& value) -> std::string {
            std::optional<std::int64_t> number;
            if (const auto* plain = std::get_if<untyped>(&value)) number = parse_integer(plain->text);
            if (const auto* typed = std::get_if<std::int64_t>(&value)) number = *typed;
            if (!number) return expected("an integer", value, range);
            if (*number < least || *number > most) return out_of_range(value, range);
            member(s) = static_cast<member_type<Member>>(*number);
            return {};
          }};
}

template <class Member>
tunable size(std::string_view key, std::int64_t least, std::int64_t most, Member member, std::string help) {
  const auto range = fmt::format("{}..{} bytes", print_size(least), print_size(most));
  return {key, std::move(help), range,
          [=](const settings& s) {
            const auto text = print_size(static_cast<std::int64_t>(member(s)));
            return parse_integer(text) ? text : quoted(text);
          },
          [=](settings& s, const written& value) -> std::string {
            std::optional<std::int64_t> bytes;
            if (const auto* text = text_of(value)) bytes = parse_size(*text);
            if (const auto* typed = std::get_if<std::int64_t>(&value)) bytes = *typed;
            if (!bytes)
              return expected("bytes, such as 16384, \"16KiB\", \"1.5MiB\" or \"1GiB\"", value, range);
            if (*bytes < least || *bytes > most) return out_of_range(value, range);
            member(s) = static_cast<member_type<Member>>(*bytes);
            return {};
          }};
}

template <class Member>
tunable duration(std::string_view key, std::chrono::milliseconds least, std::chrono::milliseconds most,
                 Member member, std::string help) {
  const auto range = fmt::format("{}..{}", print_duration(least), print_duration(most));
  return {key, std::move(help), range, [=](const settings& s) { return quoted(print_duration(member(s))); },
          [=](settings& s, const written& value) -> std::string {
            std::optional<std::chrono::milliseconds> d;
            if (const auto* text = text_of(value)) d = parse_duration(*text);
            if (!d)
              return expected("a duration in h, m, s or ms, such as \"60s\", \"1h30m\" or \"1.5s\"", value,
                              range);
            if (*d < least || *d > most) return out_of_range(value, range);
            member(s) = *d;
            return {};
          }};
}

template <class Member>
tunable fact(std::string_view key, Member member, std::string help) {
  return {key, std::move(help), "true, false",
          [=](const settings& s) { return fmt::format("{}", member(s)); },
          [=](settings& s, const written& value) -> std::string {
            const auto* plain = std::get_if<untyped>(&value);
            if (const auto* typed = std::get_if<bool>(&value))
              member(s) = *typed;
            else if (plain != nullptr && (plain->text == "true" || plain->text == "false"))
              member(s) = plain->text == "true";
            else
              return expected("a boolean", value, "true, false");
            return {};
          }};
}

template <class Member>
tunable choice(std::string_view key, Member member, std::string help) {
  using enumeration = member_type<Member>;
  std::vector<std::string> words;
  for (const auto& each : names<enumeration>) words.emplace_back(each.name);
  const auto range = fmt::format("{}", fmt::join(words, ", "));
  return {key, std::move(help), range, [=](const settings& s) { return quoted(name_of(member(s))); },
          [=](settings& s, const written& value) -> std::string {
            const auto* text = text_of(value);
            if (text == nullptr) return expected("a string", value, range);
            const auto parsed = parse_name<enumeration>(*text);
            if (!parsed)
              return fmt::format("{} is none of: {}{}", quoted(*text), range, suggestion(*text, words));
            member(s) = *parsed;
            return {};
          }};
}

// Words of an enumeration, one string or a list.
template <class Member>
tunable choices(std::string_view key, Member member, std::string help) {
  using enumeration = typename member_type<Member>::value_type;
  std::vector<std::string> words;
  for (const auto& each : names<enumeration>) words.emplace_back(each.name);
  const auto range = fmt::format("a list of: {}", fmt::join(words, ", "));
  return {key, std::move(help), range,
          [=](const settings& s) {
            std::vector<std::string> each;
            for (const enumeration one : member(s)) each.push_back(quoted(name_of(one)));
            return fmt::format("[{}]", fmt::join(each, ", "));
          },
          [=](settings& s, const written& value) -> std::string {
            const auto given = texts_of(value);
            if (!given) return expected("a list of strings", value, range);
            member_type<Member> all;
            for (const std::string& text : *given) {
              const auto parsed = parse_name<enumeration>(text);
              if (!parsed)
                return fmt::format("{} is none of: {}{}", quoted(text), fmt::join(words, ", "),
                                   suggestion(text, words));
              all.push_back(*parsed);
            }
            member(s) = std::move(all);
            return {};
          }};
}

template <class Member>
tunable mode(std::string_view key, Member member, std::string help) {
  const std::string range = "\"0000\"..\"0777\", octal";
  return {key, std::move(help), range,
          [=](const settings& s) { return quoted(fmt::format("{:04o}", member(s))); },
          [=](settings& s, const written& value) -> std::string {
            std::optional<std::uint32_t> bits;
            if (const auto* text = text_of(value)) bits = parse_mode(*text);
            if (!bits) return expected("permissions as an octal string, such as \"0600\"", value, range);
            if (*bits > 0777) return out_of_range(value, range);
            member(s) = *bits;
            return {};
          }};
}

}  // namespace weir::rows
