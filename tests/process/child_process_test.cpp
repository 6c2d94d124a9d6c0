#include "weir/process/detail/child_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <csignal>
#include <stdexcept>

#include "output.hpp"

using namespace weir;
using namespace weir::process;
using Catch::Matchers::Contains;

namespace {

exit_reason wait_for(child_process& child) {
  pollfd p{child.get(), POLLIN, 0};
  REQUIRE(::poll(&p, 1, 30'000) == 1);
  const auto how = child.reap();
  REQUIRE(how);
  return *how;
}

int forever() {
  for (;;) ::pause();
}

}  // namespace

TEST_CASE("a child's result is its exit code") {
  child_process child([] { return 7; });
  CHECK(child.pid() > 0);
  const auto how = wait_for(child);
  CHECK_FALSE(how.by_signal);
  CHECK(how.value == 7);
  CHECK(how.to_string() == "exit code 7");
  CHECK_FALSE(how.is_clean());
}

TEST_CASE("a child that runs is not reaped, and one that a signal ended says which") {
  child_process child(forever);
  CHECK_FALSE(child.reap());
  CHECK(child.signal(SIGKILL));
  const auto how = wait_for(child);
  CHECK(how.by_signal);
  CHECK(how.to_string() == "SIGKILL");
}

TEST_CASE("no process is signalled by a child's number after the child has been reaped") {
  child_process child([] { return 0; });
  CHECK(wait_for(child).is_clean());
  CHECK(child.pid() == 0);
  CHECK(child.get() == -1);
  CHECK_FALSE(child.signal(SIGKILL));
  CHECK_FALSE(child.reap());
}

TEST_CASE("an exception that leaves the body is logged and is exit code 1") {
  const test::output error(2);
  child_process child([]() -> int { throw std::runtime_error("no such luck"); });
  CHECK(wait_for(child).value == 1);
  CHECK_THAT(error.text(), Contains("no such luck"));
}

TEST_CASE("a child dies with the object that knows it, and is no zombie") {
  pid_t pid = 0;
  {
    const child_process child(forever);
    pid = child.pid();
  }
  CHECK(::waitpid(pid, nullptr, WNOHANG) == -1);
  CHECK(errno == ECHILD);
}

TEST_CASE("a child does not outlive its master, however that ends") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const unique_fd reader(ends[0]);
  unique_fd writer(ends[1]);  // open in the grandchild as long as it lives
  child_process master([&] {
    const child_process grandchild([&] {
      const char one = 'x';
      static_cast<void>(!::write(ends[1], &one, 1));
      return forever();
    });
    return forever();
  });
  writer.reset();
  char byte = 0;
  REQUIRE(::read(reader.get(), &byte, 1) == 1);
  master.signal(SIGKILL);
  wait_for(master);
  pollfd p{reader.get(), POLLIN, 0};
  REQUIRE(::poll(&p, 1, 30'000) == 1);
  CHECK(::read(reader.get(), &byte, 1) == 0);
}

TEST_CASE("a child that other code has reaped has ended") {
  child_process child([] { return 7; });
  REQUIRE(::waitpid(child.pid(), nullptr, 0) > 0);
  const auto how = child.reap();
  REQUIRE(how);
  CHECK(how->value == -1);
  CHECK(child.get() == -1);
}
