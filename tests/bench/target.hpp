#pragma once
// bench: the server that a load talks to, on this machine only.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

[[noreturn]] inline void fail(const std::string& what, int error = errno) {
  throw std::runtime_error(error == 0 ? what : what + ": " + std::strerror(error));
}

// Where to connect to, and from: `source` rotates over 127.0.0.x so that cycles that leave TIME_WAIT
// behind do not run out of ports.
class target {
 public:
  target(const std::string& text, unsigned sources) : sources_(sources) {
    if (text.starts_with("unix:")) {
      auto& un = reinterpret_cast<sockaddr_un&>(address_);
      const std::string path = text.substr(5);
      if (path.empty() || path.size() >= sizeof un.sun_path) fail("unusable unix path '" + path + "'", 0);
      un.sun_family = AF_UNIX;
      std::memcpy(un.sun_path, path.c_str(), path.size() + 1);
      length_ = sizeof un;
      return;
    }
    auto& in = reinterpret_cast<sockaddr_in&>(address_);
    const auto colon = text.rfind(':');
    if (colon == std::string::npos || inet_pton(AF_INET, text.substr(0, colon).c_str(), &in.sin_addr) != 1 ||
        ntohl(in.sin_addr.s_addr) >> 24 != 127)
      fail("'" + text + "' is neither 127.x.x.x:PORT nor unix:PATH", 0);
    in.sin_family = AF_INET;
    in.sin_port = htons(static_cast<in_port_t>(std::stoul(text.substr(colon + 1))));
    length_ = sizeof in;
  }

  // A non-blocking socket whose connect has begun.
  [[nodiscard]] int open() {
    const int family = address_.ss_family;
    // A unix connect that finds the queue full fails at once when it may not block.
    const int blocking = family == AF_UNIX ? 0 : SOCK_NONBLOCK;
    const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | blocking, 0);
    if (fd < 0) fail("socket");
    if (family == AF_UNIX) {
      const timeval bound{10, 0};
      ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof bound);
    } else {
      int on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      if (sources_ > 1) bind_source(fd);
    }
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address_), length_) < 0 && errno != EINPROGRESS) {
      const int error = errno;
      ::close(fd);
      fail("connect", error);
    }
    if (family == AF_UNIX) ::fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
  }

 private:
  void bind_source(int fd) {
    int on = 1;
    ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl((127U << 24) + 2 + next_source_++ % sources_);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) < 0) fail("bind a source address");
  }

  sockaddr_storage address_{};
  socklen_t length_ = 0;
  unsigned sources_;
  unsigned next_source_ = 0;
};
