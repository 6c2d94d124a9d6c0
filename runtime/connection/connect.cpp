#include "weir/connection/connect.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <stdexcept>

#include "kinds.hpp"
#include "weir/base/detail/idle_descriptors.hpp"
#include "weir/base/error.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/connection/detail/connection_table.hpp"

namespace weir {
namespace detail {
namespace {

extern const operation_kind kind_of_connect;

// Waits until a connect that is in progress has an outcome.
struct connect_operation : connection_operation {
  explicit connect_operation(connection_state& c) noexcept : connection_operation(kind_of_connect, c) {}
  bool await_ready() noexcept { return attempt() == attempt_result::done; }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) {
    wait_to_write(h);
  }
  int await_resume() const noexcept { return error; }

  attempt_result attempt() noexcept {
    pollfd socket{on->fd, POLLOUT, 0};
    const int ready = on->fd < 0 ? 1 : ::poll(&socket, 1, 0);
    if (ready == 0 || (ready < 0 && errno == EINTR)) {
      on->writable = false;
      return attempt_result::blocked;
    }
    socklen_t size = sizeof error;
    if (ready < 0 || ::getsockopt(on->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    return attempt_result::done;
  }

  template <class Way>
  attempt_result attempt_by() noexcept {
    return attempt();
  }

  int error = 0;
};

bool cancel_connect(operation& op, int error) noexcept {
  auto& self = static_cast<connect_operation&>(op);
  self.leave_writing();
  self.error = error;
  return true;
}

const operation_kind kind_of_connect{proceed_writing<connect_operation>, cancel_connect};

}  // namespace
}  // namespace detail

namespace {

unique_fd new_socket(int family) noexcept {
  return unique_fd(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

}  // namespace

task<connection> connect(endpoint to) {
  if (to.layers().any())
    throw std::invalid_argument(
        fmt::format("connect {}: TLS has a form of its own: connect(\"tls:...\")", to));
  connection_table& table = core::here().local<connection_table>();
  const socket_address address = to.to_sockaddr();
  unique_fd fd = new_socket(address.get()->sa_family);
  if (!fd && (errno == EMFILE || errno == ENFILE)) {
    detail::release_idle_descriptors();
    fd = new_socket(address.get()->sa_family);
  }
  if (!fd) throw_system_error(errno, "socket for " + to.to_string());
  if (to.is_tcp()) {
    const int on = 1;
    ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  int error = ::connect(fd.get(), address.get(), address.size) == 0 ? 0 : errno;
  connection made(table.open(fd.release(), peer_address::from(address.get(), address.size)));
  if (error == EINPROGRESS) error = co_await detail::connect_operation(made.state());
  if (error != 0) throw_system_error(error, "connect " + to.to_string());
  made.state().begin();
  core::here().driver().counted()[observe::figure::connected].add(1);
  co_return made;
}

}  // namespace weir
