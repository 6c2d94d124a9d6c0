#include "weir/connection/detail/proxy_rules.hpp"

#include <span>
#include <string>
#include <utility>

#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/connection/proxy_header.hpp"
#include "weir/core/within.hpp"

namespace weir {

proxy_rules::proxy_rules(const proxy_settings& s) : timeout_(s.timeout) {
  for (const std::string& each : s.trusted) {
    if (each == "unix")
      trusts_unix_ = true;
    else if (const auto prefix = address_prefix::parse(each))
      trusted_.push_back(*prefix);
  }
}

bool proxy_rules::trusts(const peer_address& peer) const noexcept {
  if (peer.is_unix()) return trusts_unix_;
  for (const address_prefix& each : trusted_)
    if (each.contains(peer.bytes())) return true;
  return false;
}

void proxy_rules::refuse(const peer_address& peer, std::string_view why) noexcept {
  refused_.fetch_add(1, std::memory_order_relaxed);
  static log::limiter limit;
  if (const auto held_back = limit.pass())
    log::warning("connection from {} closed: PROXY protocol: {} ({} more since the last line)", peer, why,
                 *held_back);
}

namespace {

// Of a header that is incomplete at the end of the stream, `why` is empty if nothing of it has come.
task<parsed_proxy_header> receive_header(connection* client) {
  std::string have;
  parsed_proxy_header found = parse_proxy_header(have);
  while (found.is == parsed_proxy_header::state::incomplete) {
    const std::size_t at = have.size();
    have.resize(at + found.needs);
    const auto into = std::as_writable_bytes(std::span(have)).subspan(at);
    const bool read = co_await client->read_exactly(into);
    if (!read) {
      if (at != 0 && client->end() != ending::stopping) found.why = "a header that is cut off";
      break;
    }
    found = parse_proxy_header(have);
  }
  co_return found;
}

}  // namespace

task<bool> read_proxy_header(connection* client, proxy_rules* rules) {
  const peer_address balancer = client->peer();
  if (!rules->trusts(balancer)) {
    rules->refuse(balancer, "proxy.trusted does not name the address");
    co_return false;
  }
  parsed_proxy_header found;
  try {
    task<parsed_proxy_header> reading = receive_header(client);
    found = co_await within(rules->timeout(), std::move(reading));
  } catch (const std::system_error& e) {
    if (e.code() == std::errc::operation_canceled) throw;
    found = {};
    found.why = e.code() == std::errc::timed_out ? "no whole header within proxy.timeout"
                                                 : "a header that is cut off";
  }
  if (found.is != parsed_proxy_header::state::complete) {
    if (!found.why.empty()) rules->refuse(balancer, found.why);
    co_return false;
  }
  connection_state& state = client->state();
  connection_edge& edge = *state.edge();
  edge.via = balancer;
  edge.tlvs = std::move(found.header.tlvs);
  if (found.header.has_client) state.set_peer(found.header.client);
  co_return true;
}

}  // namespace weir
