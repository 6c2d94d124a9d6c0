#include "room.hpp"

#include <algorithm>
#include <chrono>
#include <new>
#include <string>
#include <unordered_map>
#include <vector>

#include "terminal/line.hpp"

using namespace std::chrono_literals;

namespace {

constexpr std::size_t most_unread = 1 << 20;  // bytes that may wait for a client that does not read

// A client in a room.
struct member {
  weir::connection& client;
  weir::outbox out;
  explicit member(weir::connection& c) : client(c), out(c, most_unread) {}
};

// The members on one core, by room. Rooms span cores: each core has its part.
class hub {
 public:
  explicit hub(weir::core& home) : home_(home) {}

  void join(const std::string& room, member& m) { rooms_[room].push_back(&m); }
  void leave(const std::string& room, member& m) {
    std::vector<member*>& members = rooms_[room];
    std::erase(members, &m);
    if (members.empty()) rooms_.erase(room);
  }

  // To the room's members on all cores. One copy of the text serves them all. No member misses a line that
  // others get, and hears the next: without memory for a part of the way the sender waits, and a member whose
  // line cannot be queued is cut.
  weir::task<> say(std::string room, std::string text) {
    const auto message = std::make_shared<const std::string>(std::move(text));
    say_here(room, message);
    if (home_.pool() == nullptr) co_return;
    for (weir::core& other : *home_.pool()) {
      bool is_told = &other == &home_;
      while (!is_told) {
        is_told = tell(other, room, message);
        if (!is_told) co_await weir::sleep_for(10ms);
      }
    }
  }

 private:
  static bool tell(weir::core& other, const std::string& room, const weir::shared_message& message) try {
    other.post([&other, room, message] { other.local<hub>().say_here(room, message); });
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }

  void say_here(const std::string& room, const weir::shared_message& message) noexcept {
    const auto members = rooms_.find(room);
    if (members == rooms_.end()) return;
    for (member* const each : members->second) try {
        each->out.post(message);
      } catch (const std::bad_alloc&) {
        each->client.abort();
      }
  }

  weir::core& home_;
  std::unordered_map<std::string, std::vector<member*>> rooms_;
};

// Leaves the room when the handler ends, however it ends.
class membership {
 public:
  membership(hub& h, member& m, std::string room) : hub_(h), member_(m) { move_to(std::move(room)); }
  membership(const membership&) = delete;
  membership& operator=(const membership&) = delete;
  ~membership() { hub_.leave(room_, member_); }

  void move_to(std::string room) {
    hub_.join(room, member_);
    if (is_in_) hub_.leave(room_, member_);
    is_in_ = true;
    room_ = std::move(room);
  }
  [[nodiscard]] const std::string& room() const { return room_; }

 private:
  hub& hub_;
  member& member_;
  bool is_in_ = false;
  std::string room_;
};

}  // namespace

weir::task<> chat(weir::connection client) {
  hub& here = weir::core::here().local<hub>();
  member me(client);
  weir::reader in(client, 4096);
  membership place(here, me, "lobby");
  std::string name = client.peer().to_string();

  while (const auto read = co_await in.until("\n")) {
    const std::string_view line = terminal::without_return(*read);
    if (line.starts_with("/join ")) {
      place.move_to(std::string(line.substr(6)));
    } else if (line.starts_with("/nick ")) {
      name = terminal::printable(line.substr(6));
    } else if (line == "/quit") {
      break;
    } else {
      std::string text = fmt::format("{}: {}\n", name, terminal::printable(line));
      auto said = here.say(place.room(), std::move(text));
      co_await said;
    }
  }
  // What it was told goes out before it does, although it may have said goodbye in the same breath.
  while (me.out.pending() != 0 && client.is_open()) co_await weir::sleep_for(10ms);
  if (me.out.evicted()) weir::log::info("{} did not read and was cut", name);
}
