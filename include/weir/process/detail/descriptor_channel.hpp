#pragma once
// process: short messages between master and worker, each with at most one descriptor.

#include <cstdint>
#include <utility>

#include "weir/base/unique_fd.hpp"
#include "weir/listen/socket_layers.hpp"

namespace weir::process {

struct message {
  enum class kind : std::uint16_t {
    // Worker to master.
    serving,   // the worker has begun to serve; also from a new master to the one before it
    leaving,   // the worker asks to be drained and replaced
    parked,    // a parked connection with its descriptor; all up to `number` are taken. Also between two
               // masters
    taken,     // the worker has taken all connections up to `number`; 0 is no connection
    refused,   // the worker has no descriptor for connection `number`, which the master still has
    unable,    // the worker has no descriptor for a connection of listener `number`; an answer too
    answered,  // the worker has looked at listener `number` after a notice
    turns,     // each loop of the worker has turned since it was asked
    // Master to worker.
    connection,  // `number`, with its descriptor; from a worker: one that is above its share, for another
                 // worker
    notice,      // listener `number` has a connection
    placed,  // `number` connections that the worker has sent are the master's or another worker's, or have
             // come back
    ask,     // whether the loops of the worker turn
    look_again,  // at the listeners: another worker is passed over, and may have been woken for a connection
    service_leaves,  // the pool serves on for a while, and then drains
    retire,          // no more connections will come; a drain or a cut will
    drain,  // no more connections will come; `number`: 1 if the whole pool ends, 0 if others serve on
    cut,    // what a SIGTERM without a limits.drain_delay says
  };
  message() = default;
  message(kind of, std::uint32_t n, socket_layers on_it = {}) noexcept : what(of), layers(on_it), number(n) {}

  kind what = kind::serving;
  socket_layers layers;  // of the connection that comes with it
  std::uint32_t number = 0;
};
static_assert(sizeof(message) == 8);  // as in the program that an upgrade replaces

// Problem: SCM_RIGHTS delivers any number of descriptors, and those that fit are open when recvmsg(2)
// returns. Here a message that has not exactly the expected form is rejected, and the descriptors that came
// with it are closed. Thread: any may send; one at a time receives. Fork: each process closes the end that it
// does not use.
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
  // With `fd` the other end gets a descriptor of its own for the same open file; `fd` itself stays open.
  // `full`: the message was not sent, and may be sent later. `gone`: the other end has closed.
  sent send(const message& m, int fd = -1) noexcept;

  struct received {
    enum class kind : std::uint8_t {
      nothing,             // has come
      failed,              // the kernel is short of memory: what has come is still there
      end,                 // the other end has closed, and all that it had sent was received
      rejected,            // the form was wrong
      without_descriptor,  // `content` is right, but this process had no room for the descriptor that came
                           // with it
      taken                // `content` is right, and so is `fd`
    };
    kind what = kind::nothing;
    message content;
    unique_fd fd;  // close-on-exec
  };
  [[nodiscard]] received receive() noexcept;

 private:
  unique_fd fd_;
};

}  // namespace weir::process
