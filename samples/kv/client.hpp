#pragma once
// kv: what the server knows of one client.

#include <cstdint>
#include <memory>
#include <string>

#include "keyspace.hpp"
#include "subscriptions.hpp"
#include "transaction.hpp"

namespace kv {

struct command;

// A client's connection, as other clients' commands reach it: CLIENT KILL, and messages that are not read.
class presence {
 public:
  enum class way : std::uint8_t { close, reset };

  presence() = default;
  presence(const presence&) = delete;
  presence& operator=(const presence&) = delete;
  virtual ~presence() = default;
  // Any thread.
  virtual void cut(way w) noexcept = 0;
};

struct client_state {
  // Why a request may not simply be run and answered.
  enum circumstance : std::uint8_t {
    must_authenticate = 1,
    in_transaction = 2,
    subscribed = 4,  // in the second version of the protocol, in which only some commands may follow
    silent = 8,      // CLIENT REPLY OFF
    silent_once = 16
  };

  std::uint64_t id = 0;
  std::string address = {};
  std::string local_address = {};
  std::string name = {};
  std::string library_name = {};
  std::string library_version = {};
  int descriptor = -1;
  bool leaves = false;      // the connection is closed after the answers so far
  bool is_foreign = false;  // it speaks another protocol
  std::uint8_t protocol = 2;
  std::uint8_t circumstances = 0;

  milliseconds_since_1970 since = 0;
  milliseconds_since_1970 last_seen = 0;
  const command* last_command = nullptr;

  std::unique_ptr<kv::transaction> transaction = {};  // after MULTI
  std::unique_ptr<watcher> watching = {};             // after WATCH
  subscriptions subscribed_to = {};
  std::shared_ptr<inbox> messages = {};  // after SUBSCRIBE: what goes to the client, its answers too
  bool messages_end = false;             // nothing more goes there
  std::shared_ptr<kv::presence> presence = {};

  // In the engine's list of clients, or on its way into it.
  client_state* next = nullptr;
  client_state** link = nullptr;  // what points at it
  client_state* next_left = nullptr;

  [[nodiscard]] bool is(circumstance c) const noexcept { return (circumstances & c) != 0; }
  void set(circumstance c, bool on) noexcept {
    circumstances = static_cast<std::uint8_t>(on ? circumstances | c : circumstances & ~c);
  }
};

}  // namespace kv
