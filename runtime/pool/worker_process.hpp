#pragma once
// pool: what surrounds a server in a worker process: signals, the master's messages, the heartbeat.

#include <atomic>
#include <cstdint>
#include <functional>

#include "weir/config/settings.hpp"
#include "weir/process/detail/outgoing_messages.hpp"
#include "weir/process/detail/supervisor.hpp"
#include "weir/server/server.hpp"

namespace weir {

// Messages of a worker to its master. One that the channel cannot take is kept and sent later, because
// nothing repeats it: without an acknowledgement the master keeps a connection open, without an answer it
// does not watch a listener. Thread: core 0's, unless said otherwise. Lifetime: as long as the server.
class master_mailbox {
 public:
  using sent = process::descriptor_channel::sent;

  explicit master_mailbox(process::descriptor_channel& channel) : channel_(channel) {}
  master_mailbox(const master_mailbox&) = delete;
  master_mailbox& operator=(const master_mailbox&) = delete;

  // `gone` if the master has closed the channel.
  sent send(const process::message& m);

  // Any thread. A parked connection; it is not kept here if the channel is full.
  sent give(int fd) noexcept;

  // Any thread. A connection for another worker; it is not kept here if the channel is full.
  sent hand_on(int fd, socket_layers on_it) noexcept;

  // All connections up to `number` have been received. Before the first one of them is served.
  void has_received(std::uint32_t number) noexcept;

  // True if nothing is kept any more.
  bool flush() noexcept;
  // Called when a message has to be kept.
  void when_kept(std::function<void()> f) { when_kept_ = std::move(f); }
  // Sends what is kept, however long the master takes to read. The master ends this process if it has no
  // patience.
  void flush_at_end() noexcept;

 private:
  process::descriptor_channel& channel_;
  process::outgoing_messages kept_;
  std::function<void()> when_kept_;
  std::atomic<bool> keeps_{false};
  std::atomic<std::uint32_t> received_{0};
};

// Serves until the master, or a signal, says otherwise; the exit code.
[[nodiscard]] int run_worker(const settings& s, process::worker_slot slot, server& serving,
                             master_mailbox& to_master);

}  // namespace weir
