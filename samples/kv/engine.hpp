#pragma once
// kv: runs commands on the keys. Uses no sockets; the time is a parameter.

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

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

// What it tells of the server that it is a part of.
struct engine_facts {
  std::uint16_t port = 0;
  std::string bind = {};
  std::uint64_t most_clients = 0;
};

// Thread: one at a time, except where marked "any thread".
class engine {
 public:
  // Of Redis, whose commands and answers clients may expect.
  static constexpr std::string_view version = "7.0.0";

  engine() : calls_(commands_.all().size()) {}
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;
  ~engine() { meet_clients(); }

  // For requests of one client at a time.
  [[nodiscard]] request_batch& batch() noexcept { return batch_; }

  // Runs the batch and writes the answers, until the client leaves or the answers reach so many bytes.
  // Returns the number of requests that ran; the batch is empty then.
  std::size_t run_batch(client_state& client, weir::write_buffer& to, std::size_t most_bytes);

  // A request between MULTI and EXEC, once it is EXEC's turn.
  void run_queued(const command& what, call& c);

  // Before each batch of requests.
  void set_time(milliseconds_since_1970 now) noexcept {
    if (started_ == 0) started_ = now;
    keys_.set_time(now);
  }

  // Removes some expired keys; true if there are more.
  bool expire() noexcept { return keys_.expire(expired_at_a_time); }

  [[nodiscard]] keyspace& keys() noexcept { return keys_; }
  [[nodiscard]] switchboard& subscribers() noexcept { return subscribers_; }
  [[nodiscard]] const command_table& commands() const noexcept { return commands_; }
  [[nodiscard]] engine_limits& limits() noexcept { return limits_; }
  [[nodiscard]] const engine_limits& limits() const noexcept { return limits_; }
  [[nodiscard]] engine_facts& facts() noexcept { return facts_; }
  [[nodiscard]] const engine_facts& facts() const noexcept { return facts_; }

  // Empty: there is none.
  void set_password(std::string password) { password_ = std::move(password); }
  [[nodiscard]] const std::string& password() const noexcept { return password_; }
  [[nodiscard]] bool has_password() const noexcept { return !password_.empty(); }
  // Takes as long whether the first letter differs or the last.
  [[nodiscard]] bool is_password(std::string_view given) const noexcept;

  // Any thread. A client has connected: gives it its number. It is kept until see_off().
  void welcome(client_state& c) noexcept;
  void see_off(std::unique_ptr<client_state> c) noexcept;
  // Before each batch of requests: those that have come, and those that have gone.
  void meet_clients() noexcept {
    if (at_door_.load(std::memory_order_acquire)) [[unlikely]]
      open_door();
  }
  // In the order in which they came.
  template <class See>
  void for_each_client(See see) {
    std::vector<client_state*> all;
    for (client_state* each = met_; each != nullptr; each = each->next) all.push_back(each);
    for (auto each = all.rbegin(); each != all.rend(); ++each) see(**each);
  }
  // Ends what the client has begun: a transaction with its watching, and subscriptions.
  void forget(client_state& c) noexcept;
  void end_transaction(client_state& c) noexcept;

  // What INFO tells of a section, "default" or "all": "# Server\r\nredis_version:...".
  [[nodiscard]] std::string describe(std::string_view section) const;
  void reset_counters() noexcept;

 private:
  static constexpr std::size_t expired_at_a_time = 500;

  void fetch_ahead() noexcept;
  // Whether it may not run, whatever the client does otherwise; then that is answered.
  [[nodiscard]] bool refuses(const command* what, call& c);
  void reject(const command& what, call& c, std::string_view why);
  void run(const command* what, call& c);
  void run_under_circumstances(const command* what, call& c);
  [[nodiscard]] bool is_held_back(const command* what, call& c);
  void refuse_unknown(call& c);
  void open_door() noexcept;

  [[nodiscard]] std::string describe_server() const;
  [[nodiscard]] std::string describe_memory() const;
  [[nodiscard]] std::string describe_stats() const;
  [[nodiscard]] std::string describe_commands() const;

  keyspace keys_;
  command_table commands_;
  request_batch batch_;
  engine_limits limits_;
  engine_facts facts_;
  std::string password_;
  switchboard subscribers_;
  std::vector<std::uint64_t> calls_;  // of each command
  std::uint64_t commands_run_ = 0;
  milliseconds_since_1970 started_ = 0;  // when time was first told
  std::atomic<std::uint64_t> clients_{0};
  std::atomic<std::uint64_t> clients_ever_{0};

  client_state* met_ = nullptr;
  std::atomic<bool> at_door_{false};
  std::mutex door_;
  client_state* arrived_ = nullptr;  // under the mutex
  client_state* left_ = nullptr;     // under the mutex
};

}  // namespace kv
