// For tests of what lies between a client and a handler: "who" is answered with the client, the balancer, the
// server name that the balancer has told, and the loop; "park" with the same before the connection is parked;
// "throw" ends the handler with an exception.
#include <stdexcept>
#include <string>

#include <weir/weir.hpp>

namespace {

std::string who(const weir::connection& client) {
  return fmt::format("{} via {} name {} loop {}\n", client.peer(), client.via(),
                     client.via_tlv(0x02).value_or("-"), weir::core::here().index());
}

weir::task<> answer(weir::connection client) {
  weir::reader in(client);
  while (const auto line = co_await in.until("\n")) {
    if (*line == "throw") throw std::runtime_error("as it was told");
    const bool parks = *line == "park" && in.buffered().empty();
    const std::string told = who(client);
    co_await client.send(told);
    if (parks) co_return client.park();
  }
}

}  // namespace

int main(int argc, char** argv) { return weir::run(argc, argv, answer); }
