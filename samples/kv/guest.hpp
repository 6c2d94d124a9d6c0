#pragma once
// kv: one connected client: bytes in, answers out. Uses no sockets.

#include <memory>
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

  guest(engine& host, std::string address, std::string local_address = {}, int descriptor = -1,
        std::shared_ptr<presence> there = nullptr)
      : host_(host), state_(std::make_unique<client_state>()) {
    state_->address = std::move(address);
    state_->local_address = std::move(local_address);
    state_->descriptor = descriptor;
    state_->presence = std::move(there);
    host.welcome(*state_);
  }
  guest(const guest&) = delete;
  guest& operator=(const guest&) = delete;
  ~guest() { host_.see_off(std::move(state_)); }

  struct progress {
    std::size_t requests;  // that have been run
    std::size_t bytes;     // of them
    bool is_full;          // there are more, which wait until the answers have been sent
  };

  // Runs the complete requests in `input`. The caller passes the rest again, with more bytes after it. Once
  // the client has subscribed, `answers` is empty afterwards: it went the way of its messages.
  progress run(std::string_view input, milliseconds_since_1970 now, weir::write_buffer& answers);

  // Where the client's messages and answers come from, if not the short way; null if there is none such.
  [[nodiscard]] std::shared_ptr<inbox> messages() const noexcept { return state_->messages; }
  [[nodiscard]] bool has_messages() const noexcept { return state_->messages != nullptr; }

  [[nodiscard]] const client_state& state() const noexcept { return *state_; }

 private:
  progress run_requests(std::string_view input, weir::write_buffer& answers);
  void begin(milliseconds_since_1970 now);
  void post(weir::write_buffer& answers);

  engine& host_;
  std::unique_ptr<client_state> state_;
  request_parser parser_;
  bool has_begun_ = false;
};

}  // namespace kv
