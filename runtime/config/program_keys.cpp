// The keys of a program become rows of the table.
#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "rows.hpp"

namespace weir {
namespace {

using namespace rows;

template <class Member>
tunable text(std::string_view name, Member member, std::string help,
             const std::function<std::string(const std::string&)>& check) {
  const std::string range = "a text";
  return {name, std::move(help), range, [=](const settings& s) { return quoted(member(s)); },
          [=](settings& s, const written& value) -> std::string {
            const auto* given = text_of(value);
            if (given == nullptr) return expected("a text", value, range);
            if (check)
              if (std::string wrong = check(*given); !wrong.empty()) return wrong;
            member(s) = *given;
            return {};
          }};
}

// The row of a program's key, whose value is `in`.
tunable row_of(const key& k, key::value& in) {
  using milliseconds = std::chrono::milliseconds;
  return std::visit(
      [&]<class T>(T& v) -> tunable {
        const auto member = [&v](auto&) -> T& { return v; };
        if constexpr (std::is_same_v<T, bool>)
          return fact(k.name, member, k.help);
        else if constexpr (std::is_same_v<T, std::string>)
          return text(k.name, member, k.help, k.check);
        else if constexpr (std::is_same_v<T, milliseconds>)
          return duration(k.name, milliseconds(k.least), milliseconds(k.most), member, k.help);
        else if (k.written_as == key::form::size)
          return size(k.name, k.least, k.most, member, k.help);
        else
          return count(k.name, k.unit, k.least, k.most, member, k.help);
      },
      in);
}

// Errors: std::invalid_argument.
void check_name(std::string_view name, std::span<const tunable> taken) {
  const auto dot = name.find('.');
  const bool is_well_formed = dot != 0 && dot + 1 < name.size() && name.rfind('.') == dot &&
                              name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.") == name.npos;
  if (!is_well_formed) throw std::invalid_argument(fmt::format("a key is called section.name: {}", name));
  const auto is_own = [&](const tunable& t) { return t.key.starts_with(name.substr(0, dot + 1)); };
  if (find_tunable(name, taken) != nullptr || std::ranges::any_of(tunables(), is_own))
    throw std::invalid_argument(fmt::format("the key {} is taken", name));
}

}  // namespace

key_values standards_of(std::span<const key> keys) {
  key_values out;
  for (const key& each : keys) out.push_back(each.standard);
  return out;
}

void put(std::span<const key> keys, const key_values& values) {
  for (std::size_t i = 0; i < keys.size(); ++i)
    std::visit([&](auto* to) { *to = std::get<std::remove_pointer_t<decltype(to)>>(values[i]); }, keys[i].to);
}

std::vector<tunable> tunables_with(std::span<const key> keys, key_values& values) {
  std::vector<tunable> all(tunables().begin(), tunables().end());
  const auto section = [](const tunable& t) { return t.key.substr(0, t.key.find('.')); };
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const key& k = keys[i];
    check_name(k.name, all);
    key::value standard = k.standard;
    const std::string text = row_of(k, standard).print({});
    all.push_back(row_of(k, values[i]));
    all.back().flag = k.flag;
    all.back().flag_type = k.flag_type;
    all.back().standard = text;
    // The keys of a section stand together, in the order in which the program names them.
    const auto last = all.end() - 1;
    const auto at =
        std::upper_bound(all.begin() + static_cast<std::ptrdiff_t>(tunables().size()), last, *last,
                         [&](const tunable& x, const tunable& y) { return section(x) < section(y); });
    std::rotate(at, last, all.end());
  }
  return all;
}

}  // namespace weir
