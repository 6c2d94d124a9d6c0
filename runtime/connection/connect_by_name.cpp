// Connects to an address that may have a name, and speaks TLS.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "weir/base/asio.hpp"
#include "weir/base/error.hpp"
#include "weir/connection/connect.hpp"
#include "weir/connection/detail/connect_to_first.hpp"
#include "weir/connection/detail/open_layers.hpp"
#include "weir/connection/detail/tls_support.hpp"
#include "weir/task/use_task.hpp"

namespace weir {
namespace {

// An address of each family in turn.
std::vector<endpoint> interleaved(const asio::ip::tcp::resolver::results_type& found) {
  std::vector<endpoint> by_family[2];
  const int first = found.begin()->endpoint().data()->sa_family;
  for (const auto& each : found) {
    const auto at = each.endpoint();
    by_family[at.data()->sa_family == first ? 0 : 1].push_back(
        endpoint::from(at.data(), static_cast<socklen_t>(at.size())));
  }
  std::vector<endpoint> out;
  for (std::size_t i = 0; i < std::max(by_family[0].size(), by_family[1].size()); ++i)
    for (const auto& each : by_family)
      if (i < each.size()) out.push_back(each[i]);
  return out;
}

task<std::vector<endpoint>> resolve(std::string host, std::string port) {
  asio::ip::tcp::resolver resolver(core::here().context());
  auto asked = resolver.async_resolve(host, port, asio::ip::tcp::resolver::numeric_service, use_task);
  const auto found = co_await asked;
  co_return interleaved(found);
}

task<connection> connect_by_name(std::string address, tls_client_options how) {
  const bool tls = address.starts_with("tls:");
  const std::string at = tls ? address.substr(4) : address;
  if (tls && tls_provided() == nullptr)
    throw std::invalid_argument(
        fmt::format("connect {}: this program has no TLS; link it with weir::tls", address));
  const auto colon = at.rfind(':');
  std::string host = at.substr(0, std::min(colon, at.size()));
  // Letters that begin no other form are a name; endpoint::parse knows what is wrong with the rest.
  const bool is_name = colon != std::string::npos && !at.starts_with("unix:") && !at.starts_with('[') &&
                       at.find(':') == colon && host != "localhost" &&
                       host.find_first_not_of("0123456789.*") != std::string::npos;
  std::vector<endpoint> addresses;
  if (is_name)
    addresses = co_await resolve(host, at.substr(colon + 1));
  else
    addresses.push_back(endpoint::parse(at));
  connection made = co_await connect_to_first(std::move(addresses));
  if (tls) {
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    if (!how.server_name.empty()) host = how.server_name;
    connection_state& c = made.state();
    c.set_layer(tls_provided()->connect(how, host));
    const int error = co_await open_layer(&c);
    if (error != 0)
      throw_system_error(error == ECONNRESET ? error : EPROTO,
                         fmt::format("connect {}: {}", address, c.layer()->reason()));
  }
  co_return made;
}

}  // namespace

task<connection> connect(std::string_view address) { return connect_by_name(std::string(address), {}); }

task<connection> connect(std::string_view address, const tls_client_options& how) {
  return connect_by_name(std::string(address), how);
}

}  // namespace weir
