#include "error_output.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace weir::log {
namespace {

constexpr int standard_error = STDERR_FILENO;

// `text`: the numbers of a device and of a file, "8:12345", or null.
bool is_named_by(const char* text, const struct stat& file) noexcept {
  if (text == nullptr) return false;
  char* end = nullptr;
  const unsigned long long device = std::strtoull(text, &end, 10);
  if (end == text || *end != ':') return false;
  return device == file.st_dev && std::strtoull(end + 1, nullptr, 10) == file.st_ino;
}

}  // namespace

int error_output::write(std::string_view line) noexcept {
  look();
  if (broken_ && attempt("\n") == 1) broken_ = false;
  const ssize_t n = attempt(line);
  if (n < 0) return errno;
  broken_ = static_cast<std::size_t>(n) < line.size();
  return 0;
}

// Others may put another file in the place of standard error at any time.
void error_output::look() noexcept {
  struct stat now{};
  if (::fstat(standard_error, &now) != 0) {
    kind_ = kind::file;  // writing will fail, and say why
    device_ = 0;
    number_ = 0;
    return;
  }
  const bool same = kind_ != kind::unknown && now.st_dev == device_ && now.st_ino == number_;
  if (!same) {
    device_ = now.st_dev;
    number_ = now.st_ino;
    is_open_ = broken_ = false;
    is_journal_ = is_named_by(std::getenv("JOURNAL_STREAM"), now);
    if (S_ISSOCK(now.st_mode))
      kind_ = kind::socket;
    else if (S_ISFIFO(now.st_mode) || (S_ISCHR(now.st_mode) && ::isatty(standard_error) == 1))
      kind_ = kind::stream;
    else
      kind_ = kind::file;
  }
  if (kind_ == kind::stream && !is_open_) is_open_ = open_again();
}

bool error_output::is_journal() noexcept {
  look();
  return is_journal_;
}

bool error_output::open_again() noexcept {
  const int flags = O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
  const int fd = ::open("/proc/self/fd/2", flags);
  if (fd < 0) return false;
  if (own_ < 0) {
    own_ = fd;
    return true;
  }
  // The number stays: a signal handler may be about to use it.
  const bool moved = ::dup3(fd, own_, O_CLOEXEC) == own_;
  ::close(fd);
  return moved;
}

ssize_t error_output::attempt(std::string_view line) noexcept {
  ssize_t n = -1;
  do {
    if (kind_ == kind::socket) {
      n = ::send(standard_error, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    } else if (kind_ == kind::stream && !is_open_) {
      pollfd room{standard_error, POLLOUT, 0};
      if (::poll(&room, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
      }
      n = ::write(standard_error, line.data(), line.size());
    } else {
      n = ::write(kind_ == kind::stream ? own_ : standard_error, line.data(), line.size());
    }
  } while (n < 0 && errno == EINTR);
  return n;
}

}  // namespace weir::log
