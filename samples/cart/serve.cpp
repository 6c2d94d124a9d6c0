#include "serve.hpp"

#include <chrono>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>

#include "command.hpp"
#include "redis_carts.hpp"
#include "terminal/line.hpp"

using namespace std::chrono_literals;

namespace cart {
namespace {

// The carts of one core.
class shelf {
 public:
  explicit shelf(weir::core&) {}
  std::string answer(const std::string& name, const command& asked) {
    if (asked.what == command::kind::empty) return carts_.erase(name), std::string(done);
    items& here = carts_[name];
    if (asked.what == command::kind::show) return text_of(here);
    long& in_cart = here[asked.item];
    if (in_cart > std::numeric_limits<long>::max() - asked.count) return std::string(too_many);
    in_cart += asked.count;
    return std::string(done);
  }

 private:
  std::map<std::string, items> carts_;
};

weir::core& owner_of(const std::string& name) {
  weir::core_pool* const cores = weir::core::here().pool();
  return cores == nullptr ? weir::core::here() : (*cores)[std::hash<std::string>()(name) % cores->size()];
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
    case command::kind::unknown: return unknown;
    case command::kind::wrong_add: return wrong_add;
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

}  // namespace

weir::task<> serve(weir::connection client, const std::string* redis) {
  weir::core& home = weir::core::here();
  weir::writer out(client);
  weir::reader in(client, out, 1024);
  std::optional<redis_carts> elsewhere;
  std::string name = name_of(client);
  weir::core* owner = &home;

  while (const auto read = co_await in.until("\n")) {
    const std::string_view line = terminal::without_return(*read);
    if (line == "bye") break;
    if (line.starts_with("cart ")) {
      name = line.substr(5);
      owner = &owner_of(name);
      out.write(done);
      continue;
    }
    const auto began = std::chrono::steady_clock::now();
    const command asked = parse(line);
    if (const std::string_view reply = answer_at_once(asked, client); !reply.empty()) {
      out.write(reply);
      count(asked.what, std::chrono::steady_clock::now() - began);
      continue;
    }
    if (!redis->empty() && !elsewhere) {
      weir::connection server = co_await weir::within(5s, weir::connect(weir::endpoint::parse(*redis)));
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

}  // namespace cart
