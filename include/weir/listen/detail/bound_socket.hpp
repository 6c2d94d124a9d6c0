#pragma once
// [listen] > accept > distribute > core > connection
// listen: a listening socket, opened before any fork and any thread.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "weir/base/unique_fd.hpp"
#include "weir/config/settings.hpp"
#include "weir/listen/endpoint.hpp"

namespace weir {

// Owns a listening socket: close-on-exec, non-blocking, TCP_NODELAY if asked (accepted sockets inherit
// it on Linux), SO_REUSEADDR, V6ONLY for all but "*".
//
// The file of a unix socket has its permissions from the first moment. A file that a dead server left
// (connecting is refused) is replaced; one that a server accepts on, or that is no socket, is an error. The
// file is removed with this object.
//
// Fork: the file is removed only by the process that bound it; a child's copy just closes its descriptor.
// Thread: a value; move only.
class bound_socket {
 public:
  // "*" without IPv6 on this host is 0.0.0.0, and local() says so. For an inherited descriptor takes
  // ownership. Errors: std::system_error, "bind 127.0.0.1:7000: Address already in use".
  [[nodiscard]] static bound_socket bind(const endpoint& at, const socket_settings& options);

  // Takes `fd`, which an earlier process of this server has bound. With unlink_on_close(true) this process
  // removes the file of a unix socket. Errors: std::system_error if `fd` is no listening socket.
  [[nodiscard]] static bound_socket take_over(int fd, const socket_settings& options,
                                              socket_layers on_it = {});

  bound_socket(bound_socket&& other) noexcept;
  bound_socket& operator=(bound_socket&& other) noexcept;
  ~bound_socket();

  [[nodiscard]] int get() const noexcept { return fd_.get(); }

  // The address that is really bound: port 0 has become a port, an inherited descriptor its address.
  [[nodiscard]] const endpoint& local() const noexcept { return local_; }

  // Whether the destructor removes the file of a unix socket, if it is still the one that was made here or
  // taken over. Default: true for a socket bound here, false for an inherited one.
  void unlink_on_close(bool yes) noexcept { unlink_on_close_ = yes; }

 private:
  bound_socket(unique_fd fd, const endpoint& local) : fd_(std::move(fd)), local_(local) {}
  // Whether other sockets have the same port: none; those that will be bound after this one; those that are.
  enum class sharing : std::uint8_t { none, first, member };
  static bound_socket bind(const endpoint& at, const socket_settings& options, sharing how);
  static bound_socket bind_tcp(const endpoint& at, const socket_settings& options, sharing how);
  static bound_socket bind_unix(const endpoint& at, const socket_settings& options);
  static bound_socket adopt(int fd, const endpoint& at, const socket_settings& options);
  friend std::vector<bound_socket> bind_group(const endpoint&, std::size_t, const socket_settings&,
                                              std::span<const int>);
  friend bound_socket join_group(const bound_socket&, const socket_settings&);
  void end() noexcept;

  unique_fd fd_;
  endpoint local_;
  bool unlink_on_close_ = false;
  ::pid_t owner_ = 0;  // the process that made the file
  ::dev_t device_ = 0;
  ::ino_t file_ = 0;
};

// `n` sockets on one TCP address (SO_REUSEPORT), among which the kernel spreads connections; port 0 is
// chosen by the first. A port on which another server listens is refused, even if that one would share it:
// two servers would each get some of the clients. With `cpus`, one per socket, a connection goes to the
// socket of the CPU that received it, and from a CPU that is not among them to socket (CPU mod n). Hazard:
// closing one socket renumbers the others for the kernel and resets the connections in its queue. Keep the
// group whole. Errors: std::system_error; unix and inherited sockets cannot form a group of more than one.
[[nodiscard]] std::vector<bound_socket> bind_group(const endpoint& at, std::size_t n,
                                                   const socket_settings& options,
                                                   std::span<const int> cpus = {});

// One more socket on the address of a group. Errors: as of bind_group.
[[nodiscard]] bound_socket join_group(const bound_socket& member, const socket_settings& options);

// Makes the kernel choose among the first `n` sockets of `member`'s group, each as likely; connections in the
// queues of the others stay there. 0: among all again, by the kernel's own hash.
// Errors: std::system_error.
void steer_to_first(const bound_socket& member, std::size_t n);

}  // namespace weir
