#include "weir/process/detail/upgrade.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <cstdlib>
#include <string>
#include <system_error>

#include "output.hpp"
#include "sockets.hpp"

using namespace weir;
using namespace weir::process;
using Catch::Matchers::Contains;

namespace {

constexpr const char* variable = "_WEIR_UPGRADE";

invocation shell(const std::string& script) { return {"/bin/sh", {"sh", "-c", script}}; }

exit_reason wait_for(successor& s) {
  pollfd p{s.process().get(), POLLIN, 0};
  REQUIRE(::poll(&p, 1, 30'000) == 1);
  const auto how = s.reap();
  REQUIRE(how);
  return *how;
}

}  // namespace

TEST_CASE("the new program has the sockets open, and is told which address is which") {
  const auto ends = test::unix_pair();
  const std::string fd = std::to_string(ends.a.get());
  const test::output out(1);
  successor s(shell(fmt::format("printf %s \"$_WEIR_UPGRADE\"; test -e /proc/self/fd/{} && exit 7", fd)),
              {{ends.a.get(), "127.0.0.1:80"}, {ends.a.get(), "unix:/run/a b"}}, "shared");
  CHECK(wait_for(s).value == 7);
  const std::string told = out.text();
  CHECK_THAT(told,
             Contains(fmt::format(" {0} shared\n{1} 127.0.0.1:80\n{1} unix:/run/a b\n", ::getpid(), fd)));
  CHECK((::fcntl(ends.a.get(), F_GETFD) & FD_CLOEXEC) != 0);  // still so here

  ::setenv(variable, told.c_str(), 1);
  auto taken = heritage::take();
  REQUIRE(taken);
  static_cast<void>(taken->channel.get());
  CHECK(taken->from == ::getpid());
  CHECK(taken->accept == "shared");
  REQUIRE(taken->sockets.size() == 2);
  CHECK(taken->sockets[1].fd == ends.a.get());
  CHECK(taken->sockets[1].address == "unix:/run/a b");
  CHECK_FALSE(heritage::take());  // it is there once
}

TEST_CASE("a program that cannot be executed is its end, with the reason") {
  const test::output log(2);
  successor s({"/no/such/program", {"program"}}, {}, "shared");
  CHECK(wait_for(s).value == 127);
  CHECK_THAT(log.text(), Contains("/no/such/program: No such file"));
}

TEST_CASE("nothing is inherited by a program that was started as any other, and nonsense is refused") {
  CHECK_FALSE(heritage::take());
  for (const char* text :
       {"", "3", "3 4", "x 4 shared\n", "3 4 shared\nfour 127.0.0.1:80\n", "3 4 shared\n5"}) {
    ::setenv(variable, text, 1);
    CHECK_THROWS_AS(heritage::take(), std::system_error);
  }
}

TEST_CASE("siblings tell that one serves, and hand on connections, until one of them ends") {
  const test::output log(2);
  auto ends = descriptor_channel::make();
  heritage given{};
  given.channel = std::move(ends.second);
  siblings mine(given);
  CHECK(mine.any());
  REQUIRE(mine.heir() != nullptr);

  mine.tell_serving();
  CHECK(ends.first.receive().content.what == message::kind::serving);

  const auto connection = test::unix_pair();
  ends.first.send({message::kind::parked, 0}, connection.a.get());
  int parked = 0;
  CHECK_FALSE(mine.listen([&](unique_fd fd) { parked += fd ? 1 : 0; }));
  CHECK(parked == 1);

  ends.first.close();
  CHECK(mine.listen([](unique_fd) {}));
  CHECK_FALSE(mine.any());
  CHECK(mine.heir() == nullptr);
  CHECK_THAT(log.text(), Contains("the old program has ended"));
}
