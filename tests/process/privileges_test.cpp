#include "weir/process/detail/privileges.hpp"

#include <grp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <csignal>
#include <fstream>
#include <string>
#include <system_error>

#include "weir/process/detail/child_process.hpp"

using namespace weir;
using namespace weir::process;
using Catch::Matchers::Contains;

namespace {

// What a forked child returns, which the body may not do to the test's own process.
int in_child(const std::function<int()>& body) {
  child_process child(body);
  pollfd p{child.get(), POLLIN, 0};
  REQUIRE(::poll(&p, 1, 30'000) == 1);
  return child.reap()->value;
}

bool status_says(const std::string& line) {
  std::ifstream file("/proc/self/status");
  for (std::string each; std::getline(file, each);)
    if (each == line) return true;
  return false;
}

}  // namespace

TEST_CASE("without a user nothing is given up but new privileges, and that only if it is asked for") {
  CHECK(check_privileges({}).empty());
  CHECK(in_child([] {
          drop_privileges({.no_new_privs = false});
          if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0) return 1;
          drop_privileges({});
          return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 2;
        }) == 0);
}

TEST_CASE("a name that the system does not know is refused by its key") {
  CHECK_THAT(check_privileges({.user = "no-such-user"}),
             Contains("privileges.user") && Contains("no-such-user"));
  CHECK_THAT(check_privileges({.group = "no-such-group"}), Contains("privileges.group"));
  CHECK_THROWS_AS(drop_privileges({.user = "no-such-user"}), std::system_error);
}

TEST_CASE("root becomes the user for good, without groups or capabilities, and still ends with its parent") {
  if (::geteuid() != 0) return;
  CHECK(in_child([] {
          drop_privileges({.user = "nobody", .group = "nogroup"});
          if (::setuid(0) == 0 || ::geteuid() == 0 || ::getegid() == 0) return 1;
          if (::getgroups(0, nullptr) != 0) return 2;
          if (!status_says("CapEff:\t0000000000000000") || !status_says("NoNewPrivs:\t1")) return 3;
          int with_parent = 0;
          ::prctl(PR_GET_PDEATHSIG, &with_parent);
          return with_parent == SIGKILL ? 0 : 4;
        }) == 0);
}

TEST_CASE("a process that is not root cannot change its user, which is said before it starts") {
  if (::geteuid() != 0) return;
  CHECK(in_child([] {
          drop_privileges({.user = "nobody"});
          const bool told = check_privileges({.user = "root"}).find("only root") != std::string::npos;
          const bool same = check_privileges({.user = "nobody"}).empty();
          try {
            drop_privileges({.user = "root"});
          } catch (const std::system_error&) {
            return told && same ? 0 : 2;
          }
          return 1;
        }) == 0);
}
