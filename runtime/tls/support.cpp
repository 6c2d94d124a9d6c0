// What a program has that is linked with weir::tls.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "client.hpp"
#include "key_files.hpp"
#include "server_source.hpp"
#include "weir/base/log.hpp"
#include "weir/config/config_error.hpp"

namespace weir::tls {
namespace {

using problem = tls_support::problem;

std::vector<problem> check(const settings& s) {
  std::vector<problem> out;
  const auto files = read_files(s, out);
  static_cast<void>(server_source(s, *files, out));
  return out;
}

std::vector<std::string> describe(const settings& s) {
  std::vector<problem> problems;
  const auto files = read_files(s, problems);
  std::vector<std::string> out;
  const auto all = parse(s, *files, problems);
  for (const usable_certificate& each : all)
    out.push_back(fmt::format("{}{}, valid until {}{}", fmt::join(each.names, ", "),
                              out.empty() ? " (and for any other name)" : "", each.until,
                              each.warning.empty() ? "" : ": " + each.warning));
  return out;
}

// Warnings are logged.
void throw_if_any(const std::vector<problem>& problems) {
  std::vector<std::string> wrong;
  for (const problem& each : problems) {
    if (each.is_warning)
      log::warning("{}: {}", each.key, each.text);
    else
      wrong.push_back(fmt::format("{}: {}", each.key, each.text));
  }
  if (!wrong.empty()) throw config_error(std::move(wrong));
}

std::shared_ptr<const tls_files> read(const settings& s) {
  std::vector<problem> problems;
  auto out = read_files(s, problems);
  throw_if_any(problems);
  return out;
}

std::shared_ptr<layer_source> load(const settings& s, const tls_files& files) {
  std::vector<problem> problems;
  auto out = std::make_shared<server_source>(s, static_cast<const key_files&>(files), problems);
  throw_if_any(problems);
  return out;
}

constexpr tls_support all{.check = check,
                          .describe = describe,
                          .read = read,
                          .load = load,
                          .pass_tickets = pass_tickets,
                          .take_tickets = take_tickets,
                          .connect = make_client_layer};

}  // namespace
}  // namespace weir::tls

// The linker is asked for this name, and with it come the library and the next line.
extern "C" const bool weir_tls_is_linked = (weir::provide_tls(weir::tls::all), true);
