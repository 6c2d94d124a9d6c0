#include "weir/process/detail/service_manager.hpp"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <string>

#include "weir/base/unique_fd.hpp"

using namespace weir;
using namespace weir::process;
using namespace std::chrono_literals;
using Catch::Matchers::StartsWith;

namespace {

// The socket that a service manager listens on.
struct manager {
  manager() {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    const std::string name = fmt::format("weir-notify-test-{}", ::getpid());
    name.copy(at.sun_path + 1, name.size());
    REQUIRE(::bind(socket.get(), reinterpret_cast<sockaddr*>(&at),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size())) == 0);
    ::setenv("NOTIFY_SOCKET", fmt::format("@{}", name).c_str(), 1);
  }
  ~manager() {
    for (const char* each : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) ::unsetenv(each);
  }
  std::string told() {
    char text[256];
    const auto n = ::recv(socket.get(), text, sizeof text, MSG_DONTWAIT);
    return n < 0 ? "" : std::string(text, static_cast<std::size_t>(n));
  }
  unique_fd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
};

}  // namespace

TEST_CASE("a service manager is told in one datagram, and without one nothing is sent") {
  tell_service_manager("READY=1");  // without NOTIFY_SOCKET
  manager m;
  tell_service_manager("READY=1\nSTATUS=2 workers serve");
  CHECK(m.told() == "READY=1\nSTATUS=2 workers serve");
  tell_reloading();
  CHECK_THAT(m.told(), StartsWith("RELOADING=1\nMONOTONIC_USEC="));
  ::setenv("NOTIFY_SOCKET", "neither path nor name", 1);
  tell_service_manager("READY=1");
  CHECK(m.told().empty());
}

TEST_CASE("a watchdog is fed at twice its pace, by the process that it watches, while that is alive") {
  manager m;
  CHECK(watchdog().next() == watchdog::clock::time_point::max());
  ::setenv("WATCHDOG_USEC", "60000000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  CHECK(watchdog().next() == watchdog::clock::time_point::max());
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  watchdog w;
  w.tell_if_due(true);
  CHECK(m.told() == "WATCHDOG=1");
  CHECK(w.next() > watchdog::clock::now() + 20s);
  CHECK(w.next() <= watchdog::clock::now() + 30s);
  w.tell_if_due(true);
  CHECK(m.told().empty());
  watchdog silent;
  silent.tell_if_due(false);
  CHECK(m.told().empty());
}
