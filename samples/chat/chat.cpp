// Chat rooms: a line goes to every member of the room, on every core. A client that does not read is cut at
// its limit and delays no other client.
//
//   chat --listen 127.0.0.1:7002
//   nc 127.0.0.1 7002        /join ROOM, /nick NAME, /quit; everything else is said to the room
#include <algorithm>
#include <string>
#include <unordered_map>
#include <vector>

#include <weir/weir.hpp>

namespace {

constexpr std::size_t most_unread = 1 << 20;  // bytes that may wait for a client that does not read

// The members on one core, by room. Rooms span cores: each core has its part.
class hub {
 public:
  explicit hub(weir::core& home) : home_(home) {}

  void join(const std::string& room, weir::outbox& member) { rooms_[room].push_back(&member); }
  void leave(const std::string& room, weir::outbox& member) {
    std::vector<weir::outbox*>& members = rooms_[room];
    std::erase(members, &member);
    if (members.empty()) rooms_.erase(room);
  }

  // To the room's members on all cores. One copy of the text serves them all.
  void say(const std::string& room, std::string text) {
    const auto message = std::make_shared<const std::string>(std::move(text));
    say_here(room, message);
    if (home_.pool() == nullptr) return;
    for (weir::core& other : *home_.pool())
      if (&other != &home_)
        other.post([&other, room, message] { other.local<hub>().say_here(room, message); });
  }

 private:
  void say_here(const std::string& room, const weir::shared_message& message) {
    const auto members = rooms_.find(room);
    if (members == rooms_.end()) return;
    for (weir::outbox* each : members->second) each->post(message);
  }

  weir::core& home_;
  std::unordered_map<std::string, std::vector<weir::outbox*>> rooms_;
};

// Leaves the room when the handler ends, however it ends.
class membership {
 public:
  membership(hub& h, weir::outbox& out, std::string room) : hub_(h), out_(out) { move_to(std::move(room)); }
  membership(const membership&) = delete;
  membership& operator=(const membership&) = delete;
  ~membership() { hub_.leave(room_, out_); }

  void move_to(std::string room) {
    if (!room_.empty()) hub_.leave(room_, out_);
    room_ = std::move(room);
    hub_.join(room_, out_);
  }
  [[nodiscard]] const std::string& room() const { return room_; }

 private:
  hub& hub_;
  weir::outbox& out_;
  std::string room_;
};

weir::task<> chat(weir::connection client) {
  hub& here = weir::core::here().local<hub>();
  weir::outbox out(client, most_unread);
  weir::reader in(client, 4096);
  membership member(here, out, "lobby");
  std::string name = client.peer().to_string();

  while (auto line = co_await in.until("\n")) {
    if (line->starts_with("/join ")) {
      member.move_to(std::string(line->substr(6)));
    } else if (line->starts_with("/nick ")) {
      name = line->substr(6);
    } else if (*line == "/quit") {
      break;
    } else {
      here.say(member.room(), fmt::format("{}: {}\n", name, *line));
    }
  }
  if (out.evicted()) weir::log::info("{} did not read and was cut", name);
}

}  // namespace

int main(int argc, char** argv) {
  return weir::run(argc, argv, weir::keeping(weir::state_kind::sharded, chat),
                   {.summary = "chat rooms across cores"});
}
