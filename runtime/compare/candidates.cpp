#include "weir/compare/detail/candidates.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "weir/config/detail/names.hpp"
#include "weir/config/detail/tunable.hpp"

namespace weir::compare {
namespace {

// Handlers that may block at once, in the wider of two runs with workers.
constexpr std::uint32_t many_workers = 32;

// A form of a model: what its name says beside the model, and the keys that make it.
struct form {
  std::string name = {};
  std::vector<std::pair<std::string, std::string>> keys = {};
};

std::vector<form> forms_of(const model_row& row, const settings& s, std::size_t cpus) {
  if (row.processes) {
    const auto count = fmt::format("{}", std::max<std::size_t>(cpus, 2));
    return {{fmt::format("{} workers", count), {{"processes.count", count}}}};
  }
  if (row.threads != handler_threads::fixed) return {{}};
  std::vector<form> out;
  std::vector<std::uint32_t> widths{s.workers.count};
  if (s.workers.count < many_workers) widths.push_back(many_workers);
  for (const std::uint32_t count : widths) {
    for (const auto& io : names<worker_io_kind>)
      out.push_back({fmt::format("io by the {}, {} workers", io.name, count),
                     {{"workers.io", std::string(io.name)}, {"workers.count", fmt::format("{}", count)}}});
  }
  return out;
}

// Errors: std::invalid_argument, which no key of this file causes.
void set(settings& s, const std::string& key, const std::string& value) {
  const tunable* const row = find_tunable(key);
  if (row == nullptr || !row->set(s, untyped{value}).empty())
    throw std::invalid_argument(fmt::format("{} = {}", key, value));
}

}  // namespace

std::vector<candidate> candidates(const settings& s, state_kind keeps, std::size_t cpus,
                                  const std::string& no_ring) {
  std::vector<candidate> out;
  for (const model_row& row : model_table)
    for (const form& each : forms_of(row, s, cpus))
      for (const io_kind io : {io_kind::epoll, io_kind::io_uring}) {
        const bool ring = io == io_kind::io_uring;
        if (ring && !row.loops_do_io) continue;
        candidate made;
        made.name = fmt::format("{}{}{}{}", row.name(), each.name.empty() ? "" : ", ", each.name,
                                ring ? ", io_uring" : "");
        made.keys = {{"model", std::string(row.name())}, {"io", std::string(name_of(io))}};
        made.keys.insert(made.keys.end(), each.keys.begin(), each.keys.end());
        settings its = s;
        // What a model does not have would be refused for another reason than the model.
        if (!row.processes || its.processes.accept != accept_kind::notify) {
          if (its.distribute.policy == policy_kind::compete)
            its.distribute.policy = policy_kind::least_connections;
        }
        for (const auto& [key, value] : made.keys) set(its, key, value);
        if (ring && !why_no_ring(its).empty()) continue;  // the same as without it
        if (const auto refused = check(its, keeps))
          made.refused = refused->text;
        else if (ring && !no_ring.empty())
          made.refused = no_ring;
        out.push_back(std::move(made));
      }
  return out;
}

std::string as_toml(const candidate& c) {
  settings its;
  for (const auto& [key, value] : c.keys) set(its, key, value);
  std::string out;
  std::string section;
  for (const auto& [key, value] : c.keys) {
    const auto dot = key.find('.');
    const std::string of = dot == std::string::npos ? "" : key.substr(0, dot);
    if (of != section) out += fmt::format("\n[{}]\n", section = of);
    out += fmt::format("{} = {}\n", dot == std::string::npos ? key : key.substr(dot + 1),
                       find_tunable(key)->print(its));
  }
  return out;
}

}  // namespace weir::compare
