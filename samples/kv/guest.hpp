#pragma once
// kv: one connected client: bytes in, answers out. Uses no sockets.

#include <string>
#include <string_view>
#include <utility>

#include "engine.hpp"
#include "request_parser.hpp"

namespace kv {

// Thread: the engine's, except for constructor and destructor.
class guest {
 public:
  // Bytes of answers beyond which no more requests are run until the answers have been sent.
  static constexpr std::size_t most_unsent = 256 * 1024;

  guest(engine& host, std::string address) : host_(host) {
    state_.id = host.welcome();
    state_.address = std::move(address);
  }
  guest(const guest&) = delete;
  guest& operator=(const guest&) = delete;
  ~guest() { host_.see_off(); }

  struct progress {
    std::size_t requests;  // that have been run
    std::size_t bytes;     // of them
    bool is_full;          // there are more, which wait until the answers have been sent
  };

  // Runs the complete requests in `input`. The caller passes the rest again, with more bytes after it.
  progress run(std::string_view input, milliseconds_since_1970 now, weir::write_buffer& answers);

  [[nodiscard]] const client_state& state() const noexcept { return state_; }

 private:
  engine& host_;
  client_state state_;
  request_parser parser_;
};

}  // namespace kv
