// Chat rooms: a line goes to every member of the room, on every core. A client that does not read is cut at
// its limit and delays no other client.
//
//   chat --listen 127.0.0.1:7002
//   nc 127.0.0.1 7002        /join ROOM, /nick NAME, /quit; everything else is said to the room
#include "room.hpp"

int main(int argc, char** argv) {
  return weir::run(argc, argv, weir::keeping(weir::state_kind::sharded, chat),
                   {.summary = "chat rooms across cores"});
}
