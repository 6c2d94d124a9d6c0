#include "weir/process/detail/foreign_children.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <cerrno>
#include <csignal>

#include "output.hpp"

using namespace weir::process;

namespace {

::pid_t child_that_ends() {
  const ::pid_t pid = ::fork();
  if (pid == 0) ::_exit(7);
  ::siginfo_t info{};
  REQUIRE(::waitid(P_PID, static_cast<::id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
  return pid;
}

}  // namespace

TEST_CASE("children that are not one's own are reaped, and one's own are left") {
  const ::pid_t foreign = child_that_ends();
  CHECK_FALSE(reap_foreign_children([](::pid_t) { return false; }));
  CHECK(::waitpid(foreign, nullptr, 0) == -1);
  CHECK(errno == ECHILD);

  const ::pid_t own = child_that_ends();
  CHECK(reap_foreign_children([own](::pid_t each) { return each == own; }));
  int status = 0;
  CHECK(::waitpid(own, &status, 0) == own);
  CHECK(WEXITSTATUS(status) == 7);
  CHECK_FALSE(reap_foreign_children([](::pid_t) { return false; }));
}

TEST_CASE("a process that adopts no orphans goes on as it is") {
  const ::pid_t here = ::getpid();
  go_below_a_reaper();
  CHECK(::getpid() == here);
}

TEST_CASE("a process that adopts orphans goes on as a child, below one that reaps them") {
  // In a process of its own, which has one thread.
  const ::pid_t reaper = ::fork();
  if (reaper == 0) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    const ::pid_t self = ::getpid();
    go_below_a_reaper();
    // An orphan is there, and has ended, before this ends.
    int ends[2];
    if (::pipe(ends) != 0) ::_exit(9);
    if (::fork() == 0) {
      if (::fork() == 0) ::_exit(0);
      ::_exit(0);
    }
    ::close(ends[1]);
    char end = 0;
    static_cast<void>(!::read(ends[0], &end, 1));  // until both have closed it
    ::_exit(::getpid() != self && ::getppid() == self ? 5 : 6);
  }
  int status = 0;
  CHECK(::waitpid(reaper, &status, 0) == reaper);
  CHECK(WEXITSTATUS(status) == 5);
}

TEST_CASE("a reaper whose server dies of a signal exits with the code that a shell gives") {
  const ::pid_t reaper = ::fork();
  if (reaper == 0) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    go_below_a_reaper();
    ::raise(SIGKILL);
  }
  int status = 0;
  CHECK(::waitpid(reaper, &status, 0) == reaper);
  CHECK(WEXITSTATUS(status) == 128 + SIGKILL);
}
