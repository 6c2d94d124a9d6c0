// A shopping cart that a client finds again: kept in memory, without a lock, on the core that its name
// belongs to. A client that gives no name is known by its address, and with --policy ip-hash always meets its
// core. With --redis the carts are kept there, so that any machine serves any client.
//
//   cart --listen 127.0.0.1:7003 [--redis ADDRESS]
//   nc 127.0.0.1 7003        cart NAME, add ITEM COUNT, show, empty, bye; and ready, for a balancer
//
// It counts its commands and how long they take, beside what weir counts: --set admin=127.0.0.1:7103 and
// curl http://127.0.0.1:7103/metrics
#include <chrono>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>

#include <weir/weir.hpp>

#include "command.hpp"
#include "redis_carts.hpp"
#include "terminal/line.hpp"

using namespace std::chrono_literals;

namespace {

using cart::command;
using cart::items;

std::string redis;  // where it listens, or nothing

// The carts of one core.
class shelf {
 public:
  explicit shelf(weir::core&) {}
  std::string answer(const std::string& name, const command& asked) {
    if (asked.what == command::kind::empty) return carts_.erase(name), std::string(cart::done);
    items& here = carts_[name];
    if (asked.what == command::kind::show) return cart::text_of(here);
    long& in_cart = here[asked.item];
    if (in_cart > std::numeric_limits<long>::max() - asked.count) return std::string(cart::too_many);
    in_cart += asked.count;
    return std::string(cart::done);
  }

 private:
  std::map<std::string, items> carts_;
};

weir::core& owner_of(const std::string& name) {
  weir::core_pool& cores = *weir::core::here().pool();
  return cores[std::hash<std::string>()(name) % cores.size()];
}

// The client's address, whichever port it comes from.
std::string name_of(const weir::connection& client) {
  std::string name = client.peer().to_string();
  name.resize(std::min(name.size(), name.rfind(':')));
  return name;
}

weir::task<std::string> answer_here(const std::string* name, const command* asked, weir::core* owner) {
  weir::core& home = weir::core::here();
  co_await weir::switch_to(*owner);
  std::string reply = owner->local<shelf>().answer(*name, *asked);
  co_await weir::switch_to(home);  // back to the core of the connection
  co_return reply;
}

// What needs no cart; empty for the rest.
std::string_view answer_at_once(const command& asked, const weir::connection& client) {
  switch (asked.what) {
    case command::kind::ready: return client.is_leaving() ? "leaving\n" : "ready\n";
    case command::kind::unknown: return cart::unknown;
    case command::kind::wrong_add: return cart::wrong_add;
    default: return {};
  }
}

// What clients ask for, at /metrics of a server with --set admin=ADDRESS.
void count(command::kind what, std::chrono::steady_clock::duration took) {
  static const weir::labelled<weir::counter> commands(  // in the order of command::kind
      "cart_commands", "Commands that were answered.", "command",
      {"show", "empty", "add", "ready", "unknown", "wrong_add"});
  static const weir::histogram times("cart_answer_seconds", "Time from a command to its answer.");
  commands[static_cast<std::size_t>(what)].add();
  times.record(took);
}

weir::task<> serve(weir::connection client) {
  weir::core& home = weir::core::here();
  weir::writer out(client);
  weir::reader in(client, out, 1024);
  std::optional<cart::redis_carts> elsewhere;
  std::string name = name_of(client);
  weir::core* owner = &home;

  while (const auto read = co_await in.until("\n")) {
    const std::string_view line = terminal::without_return(*read);
    if (line == "bye") break;
    if (line.starts_with("cart ")) {
      name = line.substr(5);
      owner = &owner_of(name);
      out.write(cart::done);
      continue;
    }
    const auto began = std::chrono::steady_clock::now();
    const command asked = cart::parse(line);
    if (const std::string_view reply = answer_at_once(asked, client); !reply.empty()) {
      out.write(reply);
      count(asked.what, std::chrono::steady_clock::now() - began);
      continue;
    }
    if (!redis.empty() && !elsewhere) {
      weir::connection server = co_await weir::within(5s, weir::connect(weir::endpoint::parse(redis)));
      elsewhere.emplace(std::move(server));
    }
    std::string reply;
    if (elsewhere)
      reply = co_await elsewhere->answer(&name, &asked);
    else
      reply = co_await answer_here(&name, &asked, owner);
    out.write(reply);
    count(asked.what, std::chrono::steady_clock::now() - began);
  }
  co_await out.flush();
}

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
  const weir::program about{
      .summary = "carts that a client finds again",
      .keys = {weir::key("cart.redis", redis,
                         "the Redis server that keeps the carts; empty: they are in memory")
                   .with_flag("--redis", "ADDRESS")
                   .checked_by(mistake_in_address)},
  };
  return weir::run(argc, argv, weir::keeping(weir::state_kind::sharded, serve), about);
}
