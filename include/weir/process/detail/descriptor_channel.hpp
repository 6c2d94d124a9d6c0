#pragma once
// process: short messages between master and worker, each with at most one descriptor.

#include <cstdint>
#include <utility>

#include "weir/base/unique_fd.hpp"

namespace weir::process {

struct message {
  enum class kind : std::uint32_t {
    // Worker to master.
    serving,   // it has begun to serve; also from a master to the one that it follows
    leaving,   // it wants to be drained, and replaced
    parked,    // a connection that belongs to nobody, with its descriptor; also between two masters
    taken,     // it has all connections up to `number`
    answered,  // it has accepted what listener `number` had
    // Master to worker.
    connection,  // `number`, with its descriptor; from a worker: one that is above its share, for another
                 // worker
    notice,      // listener `number` has a connection
    placed,  // a connection that the worker has sent is the master's or another worker's, or has come back
    drain,   // no more will come
  };
  kind what = kind::serving;
  std::uint32_t number = 0;
};

// Problem: SCM_RIGHTS gives whatever the other end sends: none, several, or some that did not fit, and all of
// them are open by then. Here a message that is not exactly as it should be is rejected, and what came with
// it is closed.
// Thread: any may send; one at a time receives. Fork: each process closes the end that it does not use.
class descriptor_channel {
 public:
  // Two connected ends, close-on-exec, which never block. Errors: std::system_error.
  [[nodiscard]] static std::pair<descriptor_channel, descriptor_channel> make();

  descriptor_channel() = default;
  explicit descriptor_channel(unique_fd end) noexcept : fd_(std::move(end)) {}

  [[nodiscard]] int get() const noexcept { return fd_.get(); }
  explicit operator bool() const noexcept { return static_cast<bool>(fd_); }
  void close() noexcept { fd_.reset(); }

  enum class sent : std::uint8_t { yes, full, gone };
  // With `fd` the other end gets a descriptor of its own for the same open file; this one stays here.
  sent send(const message& m, int fd = -1) noexcept;

  struct received {
    enum class kind : std::uint8_t { nothing, end, rejected, taken };
    kind what = kind::nothing;
    message content;
    unique_fd fd;  // close-on-exec
  };
  [[nodiscard]] received receive() noexcept;

 private:
  unique_fd fd_;
};

}  // namespace weir::process
