// For tests of what lies between a client and a handler: "who" is answered with the client, the balancer, the
// server name that the balancer has told, and the loop; "park" with the same before the connection is parked;
// "tls" with what TLS has agreed on; "throw" ends the handler with an exception.
#include <fmt/ranges.h>

#include <optional>
#include <stdexcept>
#include <string>

#include <weir/weir.hpp>

namespace {

std::string who(const weir::connection& client) {
  return fmt::format("{} via {} name {} loop {}\n", client.peer(), client.via(),
                     client.via_tlv(0x02).value_or("-"), weir::core::here().index());
}

std::string agreed_on(const weir::connection& client) {
  const std::optional<weir::tls_info> tls = client.tls();
  if (!tls) return "no TLS\n";
  return fmt::format("{} name {} alpn {} peer {} names {} verified {} resumed {}\n", tls->version,
                     tls->server_name, tls->alpn, tls->peer_subject, fmt::join(tls->peer_names, ","),
                     tls->verified, tls->resumed);
}

weir::task<> answer(weir::connection client) {
  weir::reader in(client);
  while (const auto line = co_await in.until("\n")) {
    if (*line == "throw") throw std::runtime_error("as it was told");
    const bool parks = *line == "park" && in.buffered().empty();
    const std::string told = *line == "tls" ? agreed_on(client) : who(client);
    co_await client.send(told);
    if (parks) co_return client.park();
  }
}

}  // namespace

int main(int argc, char** argv) { return weir::run(argc, argv, answer); }
