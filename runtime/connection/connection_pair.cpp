#include "weir/connection/connection_pair.hpp"

#include <sys/socket.h>

#include <cerrno>

#include "weir/base/error.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/connection/detail/connection_table.hpp"

namespace weir {

connection_pair::connection_pair(core& on) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
    throw_system_error(errno, "socketpair");
  unique_fd second(ends[1]);
  auto& table = on.local<connection_table>();
  const sockaddr unnamed{.sa_family = AF_UNIX, .sa_data = {}};
  const auto peer = peer_address::from(&unnamed, sizeof unnamed.sa_family);
  client = connection(table.open(ends[0], peer));
  server = connection(table.open(second.release(), peer));
  client.state().begin();
  server.state().begin();
}

}  // namespace weir
