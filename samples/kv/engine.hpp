#pragma once
// kv: runs commands on the keys. Uses no sockets; the time is a parameter.

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include <weir/connection/write_buffer.hpp>

#include "command_table.hpp"
#include "keyspace.hpp"
#include "request_batch.hpp"

namespace kv {

// What may be changed while it runs: CONFIG SET.
struct engine_limits {
  std::size_t longest_string = longest_string_ever;  // bytes
  std::size_t memory = 0;                            // of keys and values; 0: as much as there is
};

// Thread: one at a time, except where marked "any thread".
class engine {
 public:
  // Of Redis, whose commands and answers clients may expect.
  static constexpr std::string_view version = "7.0.0";

  engine() = default;
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  // For requests of one client at a time.
  [[nodiscard]] request_batch& batch() noexcept { return batch_; }

  // Runs the batch and writes the answers, until the client leaves or the answers reach so many bytes.
  // Returns the number of requests that ran; the batch is empty then.
  std::size_t run_batch(client_state& client, weir::write_buffer& to, std::size_t most_bytes);

  // Before each batch of requests.
  void set_time(milliseconds_since_1970 now) noexcept {
    if (started_ == 0) started_ = now;
    keys_.set_time(now);
  }

  // Removes some expired keys; true if there are more.
  bool expire() noexcept { return keys_.expire(expired_at_a_time); }

  [[nodiscard]] keyspace& keys() noexcept { return keys_; }
  [[nodiscard]] const command_table& commands() const noexcept { return commands_; }
  [[nodiscard]] engine_limits& limits() noexcept { return limits_; }

  // Any thread. Counts a client; returns its number.
  std::uint64_t welcome() noexcept {
    clients_.fetch_add(1, std::memory_order_relaxed);
    return clients_ever_.fetch_add(1, std::memory_order_relaxed) + 1;
  }
  void see_off() noexcept { clients_.fetch_sub(1, std::memory_order_relaxed); }

  // What INFO tells: "# Server\r\nredis_version:..." for one section, or for "" all.
  [[nodiscard]] std::string describe(std::string_view section) const;
  void reset_counters() noexcept;

 private:
  static constexpr std::size_t expired_at_a_time = 500;

  void fetch_ahead() noexcept;
  void run(const command* what, call& c);
  void refuse_unknown(call& c);

  keyspace keys_;
  command_table commands_;
  request_batch batch_;
  engine_limits limits_;
  std::uint64_t commands_run_ = 0;
  milliseconds_since_1970 started_ = 0;  // when time was first told
  std::atomic<std::uint64_t> clients_{0};
  std::atomic<std::uint64_t> clients_ever_{0};
};

}  // namespace kv
