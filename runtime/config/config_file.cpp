// TOML in and out.
#include <fcntl.h>
#include <fmt/format.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

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

written value_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return number->get();
  if (const auto* flag = node.as_boolean()) return flag->get();
  if (const auto* array = node.as_array()) {
    std::vector<std::string> items;
    for (const auto& each : *array) {
      if (const auto* text = each.as_string()) items.push_back(text->get());
      if (const auto* number = each.as_integer()) items.push_back(fmt::format("{}", number->get()));
    }
    if (items.size() == array->size()) return items;
  }
  return unusable{type_of(node)};
}

bool is_section(std::string_view name) {
  for (const auto& each : tunables())
    if (each.key.size() > name.size() && each.key.starts_with(name) && each.key[name.size()] == '.')
      return true;
  return false;
}

void read_table(const toml::table& table, const std::string& prefix, const std::string& file, layers& into) {
  for (const auto& [name, node] : table) {
    const auto key = prefix + std::string(name.str());
    const auto origin = fmt::format("{}:{}", file, name.source().begin.line);
    const auto place = fmt::format("{}: {}", origin, key);
    const auto* inner = node.as_table();
    if (const auto* what = find_tunable(key))
      into.set(*what, value_of(node), origin, place);
    else if (inner != nullptr && (is_section(key) || !inner->empty()))
      read_table(*inner, key + ".", file, into);
    else if (is_section(key))
      into.errors.push_back(fmt::format("{}: is a section; write [{}]", place, key));
    else
      into.errors.push_back(fmt::format("{}: unknown key{}", place, key_suggestion(key)));
  }
}

}  // namespace

void read_config(std::string_view text, const std::string& name, layers& into) {
  try {
    read_table(toml::parse(text, name), "", name, into);
  } catch (const toml::parse_error& e) {
    into.errors.push_back(fmt::format("{}:{}: {}", name, e.source().begin.line, e.description()));
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

std::string print_config(const settings& s, const settings& defaults) {
  std::string out;
  std::string_view section;
  for (const auto& each : tunables()) {
    const auto dot = each.key.find('.');
    const auto its_section = dot == std::string_view::npos ? std::string_view() : each.key.substr(0, dot);
    if (its_section != section) out += fmt::format("\n[{}]\n", section = its_section);
    out += fmt::format("# {}\n# {}; default {}\n{} = {}\n", each.help, each.range, each.print(defaults),
                       each.key.substr(dot == std::string_view::npos ? 0 : dot + 1), each.print(s));
  }
  return out;
}

}  // namespace weir
