// A shopping cart that a client finds again: kept in memory, without a lock, on the core that its name
// belongs to. A client that gives no name is known by its address, and with --policy ip-hash always meets its
// core. With --redis the carts are kept there, so that any machine serves any client.
//
//   cart --listen 127.0.0.1:7003 [--redis ADDRESS]
//   nc 127.0.0.1 7003        cart NAME, add ITEM COUNT, show, empty, bye; and ready, for a balancer
//
// It counts its commands and how long they take, beside what weir counts: --set admin=127.0.0.1:7103 and
// curl http://127.0.0.1:7103/metrics
#include <stdexcept>
#include <string>
#include <utility>

#include <weir/weir.hpp>

#include "serve.hpp"

namespace {

std::string mistake_in_address(const std::string& text) {
  try {
    if (!text.empty()) static_cast<void>(weir::endpoint::parse(text));
    return {};
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::string redis;
  const weir::program about{
      .summary = "carts that a client finds again",
      .keys = {weir::key("cart.redis", redis,
                         "the Redis server that keeps the carts; empty: they are in memory")
                   .with_flag("--redis", "ADDRESS")
                   .checked_by(mistake_in_address)},
  };
  const auto serve = [&redis](weir::connection client) { return cart::serve(std::move(client), &redis); };
  return weir::run(argc, argv, weir::keeping(weir::state_kind::sharded, serve), about);
}
