#include "weir/base/detail/system_call.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <string>

#include "sockets.hpp"

using namespace weir;

TEST_CASE("send and recv move bytes and return how many") {
  const auto ends = test::unix_pair();
  char into[8] = {};
  CHECK(system_call::send(ends.a.get(), "weir", 4) == 4);
  CHECK(system_call::recv(ends.b.get(), into, 2) == 2);
  CHECK(system_call::recv(ends.b.get(), into + 2, 6) == 2);
  CHECK(std::string(into) == "weir");
}

TEST_CASE("an error is the result, negated, whatever errno was") {
  auto ends = test::unix_pair();
  test::make_non_blocking(ends.a.get());
  char into[8];
  CHECK(system_call::recv(ends.a.get(), into, 8) == -EAGAIN);
  CHECK(system_call::recv(-1, into, 8) == -EBADF);
  CHECK(system_call::send(-1, into, 8) == -EBADF);
  ends.b.reset();
  CHECK(system_call::recv(ends.a.get(), into, 8) == 0);
}

TEST_CASE("sending to a peer that is gone is an error and no SIGPIPE") {
  auto ends = test::unix_pair();
  ends.b.reset();
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  CHECK(system_call::send(ends.a.get(), "x", 1) == -EPIPE);
  std::signal(SIGPIPE, before);
}
