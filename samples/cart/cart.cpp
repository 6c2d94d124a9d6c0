// A shopping cart that a client finds again: kept in memory, without a lock, on the core that its name
// belongs to. A client that gives no name is known by its address, and with --policy ip-hash always meets its
// core.
//
//   cart --listen 127.0.0.1:7003
//   nc 127.0.0.1 7003        cart NAME, add ITEM COUNT, show, empty, bye
#include <charconv>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <string>

#include <weir/weir.hpp>

#include "terminal/line.hpp"

namespace {

using items = std::map<std::string, long, std::less<>>;

// The carts of one core.
class shelf {
 public:
  explicit shelf(weir::core&) {}
  items& cart(const std::string& name) { return carts_[name]; }
  void empty(const std::string& name) { carts_.erase(name); }

 private:
  std::map<std::string, items> carts_;
};

weir::core& owner_of(const std::string& name) {
  weir::core_pool& cores = *weir::core::here().pool();
  return cores[std::hash<std::string>()(name) % cores.size()];
}

std::string text_of(const items& cart) {
  std::string out;
  for (const auto& [item, count] : cart) out += fmt::format("{} {}\n", item, count);
  return out + ".\n";
}

// A number of things, and nothing else: "3kg" is none. Nothing if it is none.
std::optional<long> count_in(std::string_view word) {
  long count = 0;
  const char* const end = word.data() + word.size();
  const auto [stopped, error] = std::from_chars(word.data(), end, count);
  if (error != std::errc() || stopped != end || count <= 0) return std::nullopt;
  return count;
}

// Runs `line` on the cart, on the core that owns it.
std::string answer(shelf& here, const std::string& name, std::string_view line) {
  if (line == "show") return text_of(here.cart(name));
  if (line == "empty") return here.empty(name), "ok\n";
  if (!line.starts_with("add ")) return "error: add ITEM COUNT, show, empty, bye\n";
  line.remove_prefix(4);
  const std::size_t space = line.rfind(' ');
  const auto count = count_in(space == line.npos ? std::string_view() : line.substr(space + 1));
  if (space == 0 || !count || !terminal::is_printable(line)) return "error: add ITEM COUNT\n";
  long& in_cart = here.cart(name)[std::string(line.substr(0, space))];
  if (in_cart > std::numeric_limits<long>::max() - *count) return "error: too many\n";
  in_cart += *count;
  return "ok\n";
}

weir::task<> serve(weir::connection client) {
  weir::core& home = weir::core::here();
  weir::writer out(client);
  weir::reader in(client, out, 1024);
  std::string name = client.peer().to_string();
  name.resize(std::min(name.size(), name.rfind(':')));  // an address, whichever port it comes from
  weir::core* owner = &home;

  while (const auto read = co_await in.until("\n")) {
    const std::string_view line = terminal::without_return(*read);
    if (line == "bye") break;
    if (line.starts_with("cart ")) {
      name = line.substr(5);
      owner = &owner_of(name);
      out.write("ok\n");
      continue;
    }
    const std::string asked(line);
    co_await weir::switch_to(*owner);
    const std::string reply = answer(owner->local<shelf>(), name, asked);
    co_await weir::switch_to(home);  // back to the core of the connection
    out.write(reply);
  }
  co_await out.flush();
}

}  // namespace

int main(int argc, char** argv) {
  return weir::run(argc, argv, weir::keeping(weir::state_kind::sharded, serve),
                   {.summary = "carts that a client finds again"});
}
