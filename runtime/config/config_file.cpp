// Reads and prints TOML.
#include <fcntl.h>
#include <fmt/format.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <system_error>
#include <utility>

#include "layers.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/config/detail/command_line.hpp"

namespace weir {
namespace {

std::string_view type_of(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table: return "a table";
    case toml::node_type::array: return "a list of other things";
    case toml::node_type::floating_point: return "a float";
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time: return "a date or time";
    default: return "an unknown type";
  }
}

// Numbers that do not fit into 64 bits, by line and column. The parser ends with its first error, so they are
// taken out of the text and it is parsed again.
using large_numbers = std::map<std::pair<toml::source_index, toml::source_index>, std::string>;

const std::string* text_of_large(const toml::node& node, const large_numbers& large) {
  const auto at = large.find({node.source().begin.line, node.source().begin.column});
  return at == large.end() ? nullptr : &at->second;
}

written value_of(const toml::node& node, const large_numbers& large = {}) {
  if (const auto* number = text_of_large(node, large)) return untyped{*number};
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return number->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto* array = node.as_array()) {
    std::vector<std::string> items;
    for (const auto& each : *array) {
      if (const auto* text = each.as_string()) items.push_back(text->get());
      if (const auto* number = each.as_integer()) {
        const auto* written_as = text_of_large(each, large);
        items.push_back(written_as != nullptr ? *written_as : fmt::format("{}", number->get()));
      }
    }
    if (items.size() == array->size()) return items;
  }
  return unusable{type_of(node)};
}

bool is_section(std::string_view name, const layers& into) {
  for (const auto& each : into.rows)
    if (each.key.size() > name.size() && each.key.starts_with(name) && each.key[name.size()] == '.')
      return true;
  return false;
}

void read_table(const toml::table& table, const std::string& prefix, const std::string& file,
                const large_numbers& large, layers& into) {
  for (const auto& [name, node] : table) {
    const auto key = prefix + std::string(name.str());
    const auto origin = fmt::format("{}:{}", file, name.source().begin.line);
    const auto place = fmt::format("{}: {}", origin, key);
    const auto* inner = node.as_table();
    if (const auto* what = find_tunable(key, into.rows))
      into.set(*what, value_of(node, large), origin, place);
    else if (inner != nullptr && (is_section(key, into) || !inner->empty()))
      read_table(*inner, key + ".", file, large, into);
    else if (is_section(key, into))
      into.errors.push_back(fmt::format("{}: is a section; write [{}]", place, key));
    else
      into.errors.push_back(fmt::format("{}: unknown key{}", place, key_suggestion(key, into.rows)));
  }
}

// The byte at which a line and a column (which counts characters) begin.
std::size_t offset_of(std::string_view text, const toml::source_position& at) {
  std::size_t offset = 0;
  for (auto line = at.line; line > 1; --line) offset = std::min(text.find('\n', offset), text.size() - 1) + 1;
  for (auto column = at.column; column > 1 && offset < text.size(); --column) do
      ++offset;
    while (offset < text.size() && (static_cast<unsigned char>(text[offset]) & 0xC0) == 0x80);
  return offset;
}

// Whether the error is a decimal number of 19 digits or more that ends where the parser gave up. Then a 0
// takes its place, and the rest of the file can be read.
bool take_out_large_number(std::string& text, const toml::source_position& end, large_numbers& large) {
  const auto behind = offset_of(text, end);
  if (behind == 0) return false;
  const auto before = text.find_last_not_of("0123456789_", behind - 1);
  auto begin = before == std::string::npos ? 0 : before + 1;
  std::string number = text.substr(begin, behind - begin);
  std::erase(number, '_');
  if (number.size() < 19) return false;
  if (begin > 0 && (text[begin - 1] == '-' || text[begin - 1] == '+')) --begin;
  if (text[begin] == '-') number.insert(0, "-");
  const auto size = behind - begin;
  large[{end.line, end.column - static_cast<toml::source_index>(size)}] = std::move(number);
  text.replace(begin, size, "0" + std::string(size - 1, ' '));
  return true;
}

}  // namespace

void read_config(std::string_view text, const std::string& name, layers& into) {
  std::string rest(text);
  large_numbers large;
  for (;;) {
    try {
      read_table(toml::parse(std::string_view(rest), std::string_view(name)), "", name, large, into);
      return;
    } catch (const toml::parse_error& e) {
      // Bounded, because each number costs another parse of the whole text.
      if (large.size() < 64 && take_out_large_number(rest, e.source().begin, large)) continue;
      into.errors.push_back(fmt::format("{}:{}: {}", name, e.source().begin.line, e.description()));
      return;
    }
  }
}

void read_config_file(const std::string& path, layers& into) {
  const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::string text;
  std::array<char, 4096> piece;
  ::ssize_t n = file ? 1 : -1;
  while (n > 0) {
    n = ::read(file.get(), piece.data(), piece.size());
    if (n > 0) text.append(piece.data(), static_cast<std::size_t>(n));
  }
  if (n < 0)
    into.errors.push_back(
        fmt::format("{}: cannot be read: {}", path, std::generic_category().message(errno)));
  else
    read_config(text, path, into);
}

settings parse_config(std::string_view text, const std::string& name) {
  layers all;
  read_config(text, name, all);
  if (!all.errors.empty()) throw config_error(std::move(all.errors));
  return std::move(all.values);
}

void check_settings(const settings& s) {
  layers all;
  for (const auto& each : tunables()) {
    const auto printed = toml::parse(fmt::format("value = {}", each.print(s)));
    all.set(each, value_of(*printed.get("value")), "settings", fmt::format("settings: {}", each.key));
  }
  if (!all.errors.empty()) throw config_error(std::move(all.errors));
}

std::string print_config(const settings& s, const settings& defaults) {
  program plain;
  plain.defaults = defaults;
  return print_config(s, {}, plain);
}

std::string print_config(const settings& s, key_values own, const program& what) {
  std::string out;
  std::string_view section;
  for (const auto& each : tunables_with(what.keys, own)) {
    const auto dot = each.key.find('.');
    const auto its_section = dot == std::string_view::npos ? std::string_view() : each.key.substr(0, dot);
    if (its_section != section) out += fmt::format("\n[{}]\n", section = its_section);
    out += fmt::format("# {}\n# {}; default {}\n{} = {}\n", each.help, each.range,
                       default_of(each, what.defaults),
                       each.key.substr(dot == std::string_view::npos ? 0 : dot + 1), each.print(s));
  }
  return out;
}

}  // namespace weir
