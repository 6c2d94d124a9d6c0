#include "weir/process/detail/service_manager.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "weir/base/unique_fd.hpp"

namespace weir::process {

void tell_service_manager(std::string_view lines) noexcept {
  const char* const name = std::getenv("NOTIFY_SOCKET");
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  const std::size_t length = name == nullptr ? 0 : std::strlen(name);
  if (length < 2 || length >= sizeof to.sun_path || (*name != '/' && *name != '@')) return;
  std::memcpy(to.sun_path, name, length);
  if (*name == '@') to.sun_path[0] = '\0';
  const unique_fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return;
  static_cast<void>(::sendto(socket.get(), lines.data(), lines.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                             reinterpret_cast<const sockaddr*>(&to),
                             static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length)));
}

// NOLINTNEXTLINE(bugprone-exception-escape): the form is checked by the compiler, and nothing is allocated
void tell_reloading() noexcept {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  char lines[64];
  const auto end = fmt::format_to_n(lines, sizeof lines, "RELOADING=1\nMONOTONIC_USEC={}",
                                    std::chrono::duration_cast<std::chrono::microseconds>(now).count());
  tell_service_manager({lines, end.size});
}

watchdog::watchdog() noexcept {
  const auto number = [](const char* variable) -> std::int64_t {
    const char* const text = std::getenv(variable);
    std::int64_t value = 0;
    if (text == nullptr) return -1;
    const char* const end = text + std::strlen(text);
    return std::from_chars(text, end, value).ptr == end ? value : -1;
  };
  const auto of = number("WATCHDOG_PID");
  const auto microseconds = number("WATCHDOG_USEC");
  if (microseconds <= 0 || (of > 0 && of != ::getpid())) return;
  interval_ = std::max(std::chrono::milliseconds(1), std::chrono::milliseconds(microseconds / 2000));
  next_ = clock::now();
}

void watchdog::tell_if_due(bool alive) noexcept {
  const auto now = clock::now();
  if (now < next_) return;
  next_ = now + interval_;
  if (alive) tell_service_manager("WATCHDOG=1");
}

}  // namespace weir::process
