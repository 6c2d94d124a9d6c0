#include "weir/process/detail/descriptor_channel.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

#include "weir/base/error.hpp"

namespace weir::process {
namespace {

// CMSG_SPACE of one descriptor has room for two on 64-bit systems.
union control_buffer {
  ::cmsghdr aligned;
  char bytes[CMSG_SPACE(sizeof(int))];
};

}  // namespace

std::pair<descriptor_channel, descriptor_channel> descriptor_channel::make() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    throw_system_error(errno, "socketpair");
  return {descriptor_channel(unique_fd(ends[0])), descriptor_channel(unique_fd(ends[1]))};
}

descriptor_channel::sent descriptor_channel::send(const message& m, int fd) noexcept {
  message copy = m;
  ::iovec piece{&copy, sizeof copy};
  ::msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  control_buffer control{};
  if (fd >= 0) {
    header.msg_control = control.bytes;
    header.msg_controllen = sizeof control.bytes;
    auto* const with = CMSG_FIRSTHDR(&header);
    with->cmsg_level = SOL_SOCKET;
    with->cmsg_type = SCM_RIGHTS;
    with->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(with), &fd, sizeof fd);
  }
  ssize_t n;
  do n = ::sendmsg(fd_.get(), &header, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n == static_cast<ssize_t>(sizeof m)) return sent::yes;
  const bool later = errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS || errno == ENOMEM;
  return later ? sent::full : sent::gone;
}

descriptor_channel::received descriptor_channel::receive() noexcept {
  received out;
  ::iovec piece{&out.content, sizeof out.content};
  ::msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  control_buffer control{};
  header.msg_control = control.bytes;
  header.msg_controllen = sizeof control.bytes;
  ssize_t n;
  // The kernel says ECONNRESET once, and before what is in the queue, when the other end has closed with
  // unread messages.
  do n = ::recvmsg(fd_.get(), &header, MSG_CMSG_CLOEXEC);
  while (n < 0 && (errno == EINTR || errno == ECONNRESET));
  if (n < 0 && errno == EAGAIN) return out;
  if (n < 0 && (errno == ENOMEM || errno == ENOBUFS)) {
    out.what = received::kind::failed;
    return out;
  }

  // Descriptors are taken over before anything is judged, so that none is left open.
  std::size_t others = 0;
  for (auto* with = n < 0 ? nullptr : CMSG_FIRSTHDR(&header); with != nullptr;
       with = CMSG_NXTHDR(&header, with)) {
    if (with->cmsg_level != SOL_SOCKET || with->cmsg_type != SCM_RIGHTS) {
      ++others;
      continue;
    }
    const std::size_t count = (with->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(with) + i * sizeof fd, sizeof fd);
      if (out.fd) ++others;
      out.fd.reset(fd);
    }
  }
  if (n <= 0) {
    out.what = received::kind::end;
  } else if (n == static_cast<ssize_t>(sizeof out.content) && (header.msg_flags & MSG_CTRUNC) != 0 &&
             others == 0 && !out.fd) {
    out.what = received::kind::without_descriptor;
  } else if (n != static_cast<ssize_t>(sizeof out.content) ||
             (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || others != 0) {
    out.what = received::kind::rejected;
    out.fd.reset();
  } else {
    out.what = received::kind::taken;
  }
  return out;
}

}  // namespace weir::process
