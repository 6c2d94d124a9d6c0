#include "weir/listen/detail/bound_socket.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdlib>
#include <iterator>
#include <string>
#include <system_error>
#include <utility>

#include "weir/base/error.hpp"

namespace weir {
namespace {

[[noreturn]] void fail(std::string_view call, const endpoint& at) {
  const int error = errno;  // before anything that may change it
  throw_system_error(error, fmt::format("{} {}", call, at.to_string()));
}

void set_option(int fd, int level, int option, int value, const endpoint& at) {
  if (::setsockopt(fd, level, option, &value, sizeof value) != 0) fail("bind", at);
}

int get_option(int fd, int level, int option, const endpoint& at) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(fd, level, option, &value, &size) != 0) fail("listen on", at);
  return value;
}

unique_fd open_socket(int family, const endpoint& at) {
  unique_fd fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) fail("bind", at);
  return fd;
}

void bind_address(int fd, const endpoint& at) {
  const auto address = at.to_sockaddr();
  if (::bind(fd, address.get(), address.size) != 0) fail("bind", at);
}

void start_listening(int fd, const endpoint& at, const socket_settings& options) {
  if (::listen(fd, static_cast<int>(options.backlog)) != 0) fail("listen on", at);
}

endpoint name_of_socket(int fd, const endpoint& at) {
  socket_address name;
  name.size = sizeof name.storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&name.storage), &name.size) != 0) fail("listen on", at);
  const bool dual = name.storage.ss_family == AF_INET6 && get_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, at) == 0;
  return endpoint::from(name.get(), name.size, dual).with_layers(at.layers());
}

// Removes a socket file on which no server accepts.
// Hazard: two servers that start at the same instant may both find it stale; comparing it once more narrows
// that to the time between two system calls.
void remove_stale_file(const endpoint& at) {
  struct stat found{};
  if (::lstat(at.path().c_str(), &found) != 0) {
    if (errno == ENOENT) return;
    fail("bind", at);
  }
  if (!S_ISSOCK(found.st_mode))
    throw_system_error(EEXIST, fmt::format("bind {}: the path is taken and no socket", at.to_string()));

  const auto probe = open_socket(AF_UNIX, at);
  const auto address = at.to_sockaddr();
  const int answer = ::connect(probe.get(), address.get(), address.size) == 0 ? 0 : errno;
  if (answer == 0 || answer == EAGAIN)
    throw_system_error(EADDRINUSE, fmt::format("bind {}: a server is accepting there", at.to_string()));
  if (answer == ENOENT) return;
  if (answer != ECONNREFUSED)
    throw_system_error(
        answer, fmt::format("bind {}: cannot tell whether the socket there is served", at.to_string()));

  struct stat now{};
  const bool same = ::lstat(at.path().c_str(), &now) == 0 && now.st_dev == found.st_dev &&
                    now.st_ino == found.st_ino && now.st_ctim.tv_sec == found.st_ctim.tv_sec &&
                    now.st_ctim.tv_nsec == found.st_ctim.tv_nsec;
  if (same && ::unlink(at.path().c_str()) != 0 && errno != ENOENT) fail("remove stale", at);
}

// The descriptor that systemd, or another process with its protocol (sd_listen_fds(3)), passed under this
// name.
int descriptor_named(const endpoint& at) {
  constexpr int first = 3;
  const auto variable = [](const char* name) -> std::string {
    const char* const text = std::getenv(name);
    return text == nullptr ? "" : text;
  };
  const auto refuse = [&](std::string_view why) {
    throw_system_error(ENOENT, fmt::format("listen on {}: {}", at.to_string(), why));
  };
  if (variable("LISTEN_PID") != fmt::format("{}", ::getpid()))
    refuse("no sockets were passed to this process (LISTEN_PID)");
  const std::string count = variable("LISTEN_FDS");
  const std::string names = variable("LISTEN_FDNAMES");
  int found = -1;
  int fd = first;
  for (std::size_t begin = 0; begin <= names.size(); ++fd) {
    const std::size_t end = std::min(names.find(':', begin), names.size());
    if (std::string_view(names).substr(begin, end - begin) == at.path()) {
      if (found >= 0) refuse("several sockets have that name; give each a FileDescriptorName= of its own");
      found = fd;
    }
    begin = end + 1;
  }
  if (found < 0) refuse(fmt::format("no socket has that name; there are {}: {}", count, names));
  return found;
}

// Sends a connection to the socket of the CPU that runs the program: the one that received the packet.
void steer_by_cpu(int fd, std::span<const int> cpus, const endpoint& at) {
  std::vector<sock_filter> program;
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_CPU)));
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(cpus[i]), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, static_cast<std::uint32_t>(i)));
  }
  program.push_back(BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, static_cast<std::uint32_t>(cpus.size())));
  program.push_back(BPF_STMT(BPF_RET | BPF_A, 0));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof filter) != 0) fail("steer", at);
}

}  // namespace

bound_socket bound_socket::bind(const endpoint& at, const socket_settings& options) {
  return bind(at, options, sharing::none);
}

bound_socket bound_socket::bind(const endpoint& at, const socket_settings& options, sharing how) {
  if (at.what() == endpoint::kind::inherited) return adopt(at.descriptor(), at, options);
  if (at.what() == endpoint::kind::named) return adopt(descriptor_named(at), at, options);
  if (at.is_unix()) return bind_unix(at, options);
  try {
    return bind_tcp(at, options, how);
  } catch (const std::system_error& e) {
    // How a host without IPv6 answers, by kernel configuration or by sysctl.
    const bool no_ipv6 =
        e.code() == std::errc::address_family_not_supported || e.code() == std::errc::address_not_available;
    if (at.what() != endpoint::kind::tcp_dual || !no_ipv6) throw;
  }
  return bind_tcp(endpoint::parse("0.0.0.0:0").with_port(at.port()).with_layers(at.layers()), options, how);
}

bound_socket bound_socket::bind_tcp(const endpoint& at, const socket_settings& options, sharing how) {
  const bool v4 = at.what() == endpoint::kind::tcp4;
  auto fd = open_socket(v4 ? AF_INET : AF_INET6, at);
  set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1, at);
  if (how == sharing::member) set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1, at);
  if (options.nodelay) set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1, at);
  if (!v4) set_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, at.what() == endpoint::kind::tcp6 ? 1 : 0, at);
  bind_address(fd.get(), at);
  // Not before: the kernel would let it share the port of another server of the same user, in silence.
  if (how == sharing::first) set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1, at);
  start_listening(fd.get(), at, options);
  const auto local = name_of_socket(fd.get(), at);
  return bound_socket(std::move(fd), local);
}

bound_socket bound_socket::bind_unix(const endpoint& at, const socket_settings& options) {
  bound_socket out(open_socket(AF_UNIX, at), at);
  if (at.what() == endpoint::kind::unix_path) {
    remove_stale_file(at);
    // The file takes its permissions from the socket's own, less the umask: never wider than asked, at no
    // instant.
    if (::fchmod(out.get(), options.unix_mode) != 0) fail("bind", at);
    bind_address(out.get(), at);
    struct stat made{};
    if (::lstat(at.path().c_str(), &made) != 0) fail("bind", at);
    out.device_ = made.st_dev;
    out.file_ = made.st_ino;
    out.owner_ = ::getpid();
    out.unlink_on_close_ = true;
    // Restore what the umask took; no client can connect before listen.
    if ((made.st_mode & 0777) != options.unix_mode && ::chmod(at.path().c_str(), options.unix_mode) != 0)
      fail("bind", at);
  } else {
    bind_address(out.get(), at);
  }
  start_listening(out.get(), at, options);
  return out;
}

bound_socket bound_socket::take_over(int fd, const socket_settings& options, socket_layers on_it) {
  auto out = adopt(fd, endpoint::parse(fmt::format("fd:{}", fd)).with_layers(on_it), options);
  struct stat file{};
  if (out.local_.what() != endpoint::kind::unix_path || ::lstat(out.local_.path().c_str(), &file) != 0)
    return out;
  out.device_ = file.st_dev;
  out.file_ = file.st_ino;
  out.owner_ = ::getpid();
  return out;
}

bound_socket bound_socket::adopt(int fd, const endpoint& at, const socket_settings& options) {
  const auto refuse = [&](std::string_view why) {
    throw_system_error(EINVAL, fmt::format("listen on {}: {}", at.to_string(), why));
  };
  if (get_option(fd, SOL_SOCKET, SO_TYPE, at) != SOCK_STREAM) refuse("the socket is no stream");
  if (get_option(fd, SOL_SOCKET, SO_ACCEPTCONN, at) == 0) refuse("the socket does not listen");
  const int family = get_option(fd, SOL_SOCKET, SO_DOMAIN, at);
  if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
    refuse("the socket is neither TCP nor unix");

  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 || ::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
    fail("listen on", at);
  if (family != AF_UNIX && options.nodelay) set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1, at);
  const auto local = name_of_socket(fd, at);
  return bound_socket(unique_fd(fd), local);  // owned, and closed, from here on
}

bound_socket::bound_socket(bound_socket&& other) noexcept
    : fd_(std::move(other.fd_)),
      local_(std::move(other.local_)),
      unlink_on_close_(std::exchange(other.unlink_on_close_, false)),
      owner_(other.owner_),
      device_(other.device_),
      file_(other.file_) {}

bound_socket& bound_socket::operator=(bound_socket&& other) noexcept {
  if (this == &other) return *this;
  end();
  fd_ = std::move(other.fd_);
  local_ = std::move(other.local_);
  unlink_on_close_ = std::exchange(other.unlink_on_close_, false);
  owner_ = other.owner_;
  device_ = other.device_;
  file_ = other.file_;
  return *this;
}

bound_socket::~bound_socket() { end(); }

// The file is removed before the descriptor is closed: while the socket exists, its inode number cannot be
// reused for another file.
void bound_socket::end() noexcept {
  if (!unlink_on_close_ || !fd_ || owner_ != ::getpid()) return;
  struct stat now{};
  if (::lstat(local_.path().c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == file_)
    ::unlink(local_.path().c_str());
}

std::vector<bound_socket> bind_group(const endpoint& at, std::size_t n, const socket_settings& options,
                                     std::span<const int> cpus) {
  assert(n > 0 && (cpus.empty() || cpus.size() == n));
  if (n > 1 && !at.is_tcp())
    throw_system_error(EOPNOTSUPP,
                       fmt::format("bind {}: {} sockets on one address are for TCP only", at.to_string(), n));
  std::vector<bound_socket> group;
  group.reserve(n);
  // "*" without IPv6 and port 0 are decided by the first.
  group.push_back(bound_socket::bind(at, options, bound_socket::sharing::first));
  while (group.size() < n) group.push_back(join_group(group.front(), options));
  if (!cpus.empty() && n > 1) steer_by_cpu(group.front().get(), cpus, at);
  return group;
}

bound_socket join_group(const bound_socket& member, const socket_settings& options) {
  return bound_socket::bind(member.local(), options, bound_socket::sharing::member);
}

void steer_to_first(const bound_socket& member, std::size_t n) {
  const int none = 0;
  if (n == 0) {
    if (::setsockopt(member.get(), SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &none, sizeof none) != 0 &&
        errno != ENOENT)
      fail("steer", member.local());
    return;
  }
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(SKF_AD_OFF + SKF_AD_RANDOM)),
      BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, static_cast<std::uint32_t>(n)), BPF_STMT(BPF_RET | BPF_A, 0)};
  const sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
  if (::setsockopt(member.get(), SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &filter, sizeof filter) != 0)
    fail("steer", member.local());
}

}  // namespace weir
