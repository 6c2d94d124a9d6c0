#pragma once
// tests: sockets without weir: pairs, a blocking client that gives up in the end, and bytes to send.

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "weir/base/unique_fd.hpp"
#include "weir/listen/endpoint.hpp"

namespace test {

inline void make_non_blocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

// Two sockets that are connected to each other.
struct sockets {
  weir::unique_fd a;
  weir::unique_fd b;
};

inline sockets unix_pair(int type = SOCK_STREAM) {
  int ends[2];
  REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
  return {weir::unique_fd(ends[0]), weir::unique_fd(ends[1])};
}

// Over loopback. `a` was accepted, `b` has connected. `buffer`: bytes of both send and receive buffers, 0:
// the system's choice.
inline sockets tcp_pair(int buffer = 0) {
  const weir::unique_fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  weir::unique_fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (buffer != 0) {
    for (const int fd : {listener.get(), client.get()}) {
      ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
      ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    }
  }
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  auto* const address = reinterpret_cast<sockaddr*>(&at);
  REQUIRE(::bind(listener.get(), address, size) == 0);
  REQUIRE(::listen(listener.get(), 1) == 0);
  REQUIRE(::getsockname(listener.get(), address, &size) == 0);
  REQUIRE(::connect(client.get(), address, size) == 0);
  weir::unique_fd server(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  REQUIRE(server);
  return {std::move(server), std::move(client)};
}

// Bytes in which each place is different from its neighbours, so that a lost or doubled one shows.
inline std::string pattern(std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<char>('!' + (i * 7 + i / 251) % 90);
  return out;
}

// Until something comes: loopback may deliver late on a busy machine.
inline bool wait_readable(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 30'000) == 1;
}

// Whatever a non-blocking socket has now.
inline std::string drained(int fd) {
  std::string out;
  char part[65536];
  for (;;) {
    const auto n = ::recv(fd, part, sizeof part, MSG_DONTWAIT);
    if (n <= 0) return out;
    out.append(part, static_cast<std::size_t>(n));
  }
}

// A small send always fits.
inline void put(int fd, std::string_view text) {
  REQUIRE(::send(fd, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
          static_cast<ssize_t>(text.size()));
}

// A blocking client. No wait is longer than half a minute.
class client {
 public:
  client() = default;
  explicit client(const weir::endpoint& to) {
    const auto address = to.to_sockaddr();
    fd_ = weir::unique_fd(::socket(address.get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval limit{30, 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    error_ = ::connect(fd_.get(), address.get(), address.size) == 0 ? 0 : errno;
  }

  [[nodiscard]] int error() const noexcept { return error_; }
  [[nodiscard]] int get() const noexcept { return fd_.get(); }

  [[nodiscard]] bool send(std::string_view text) {
    while (!text.empty()) {
      const auto n = ::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  void finish() { ::shutdown(fd_.get(), SHUT_WR); }

  // Fewer bytes at the end of the stream.
  [[nodiscard]] std::string receive(std::size_t size) {
    std::string out(size, '\0');
    std::size_t have = 0;
    while (have < size) {
      const auto n = ::recv(fd_.get(), out.data() + have, size - have, 0);
      if (n < 0) error_ = errno;
      if (n <= 0) break;
      have += static_cast<std::size_t>(n);
    }
    out.resize(have);
    return out;
  }
  [[nodiscard]] std::string receive_all() { return receive(1 << 20); }

  // True when the peer has closed, cleanly or not, and nothing was left to read.
  [[nodiscard]] bool is_closed() {
    char one;
    const auto n = ::recv(fd_.get(), &one, 1, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
  }
  // True if nothing has come so far.
  [[nodiscard]] bool is_silent() const {
    pollfd p{fd_.get(), POLLIN, 0};
    return ::poll(&p, 1, 0) == 0;
  }

 private:
  weir::unique_fd fd_;
  int error_ = 0;
};

// For what another thread does and no event tells: looks again and again, for half a minute at most.
template <class Fact>
bool eventually(Fact fact) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!fact()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

// No descriptor, or `but` of them, can be opened while this lives. What is closed meanwhile can be opened
// again.
class no_descriptors {
 public:
  explicit no_descriptors(std::size_t but = 0) {
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before_) == 0);
    const rlimit few{256, before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
    for (int fd; (fd = ::fcntl(2, F_DUPFD_CLOEXEC, 0)) >= 0;) taken_.emplace_back(fd);
    REQUIRE(taken_.size() >= but);
    taken_.resize(taken_.size() - but);
  }
  no_descriptors(const no_descriptors&) = delete;
  no_descriptors& operator=(const no_descriptors&) = delete;
  ~no_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
  std::vector<weir::unique_fd> taken_;
};

}  // namespace test
