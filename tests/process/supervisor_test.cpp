#include "weir/process/detail/supervisor.hpp"

#include <poll.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <csignal>
#include <system_error>

#include "output.hpp"

using namespace weir;
using namespace weir::process;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

settings two_workers() {
  settings s;
  s.processes.count = 2;
  return s;
}

// Serves nobody until a signal or a word from the master ends it.
int serve_nobody(worker_slot slot) {
  slot.to_master.send({message::kind::serving, 0});
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGQUIT);
  const timespec a_moment{.tv_sec = 0, .tv_nsec = 5'000'000};
  for (;;) {
    if (::sigtimedwait(&ends, nullptr, &a_moment) > 0) return 0;
    pollfd word{slot.to_master.get(), POLLIN, 0};
    if (::poll(&word, 1, 0) > 0) return 0;
  }
}

}  // namespace

TEST_CASE("a worker that says that it cannot start ends the pool") {
  const test::output error(2);
  supervisor master(two_workers(), {.work = [](worker_slot) { return 3; }});
  CHECK_FALSE(master.run());
  CHECK_THAT(error.text(), Contains("exit code 3") && Contains("no worker has ever served"));
}

TEST_CASE("the pool is filled, and ends when a signal says so") {
  scoreboard counted;
  worker_score& seen = *counted.take();
  const test::output error(2);
  supervisor master(two_workers(), {.work = [&](worker_slot slot) {
                      if (seen.accepted.fetch_add(1) == 1) ::kill(::getppid(), SIGQUIT);
                      return serve_nobody(slot);
                    }});
  CHECK(master.run());
  CHECK(seen.accepted == 2);
  for (const auto& row : master.scores().workers()) REQUIRE(row.now == worker_score::state::free);
}

TEST_CASE("a worker that ends is replaced on the same slot") {
  scoreboard counted;
  worker_score& seen = *counted.take();
  const test::output error(2);
  supervisor master(two_workers(), {.work = [&](worker_slot slot) {
                      if (slot.index == 1 && seen.accepted.fetch_add(1) == 0) {
                        slot.to_master.send({message::kind::serving, 0});
                        ::raise(SIGKILL);
                      }
                      if (slot.index == 1) ::kill(::getppid(), SIGTERM);
                      return serve_nobody(slot);
                    }});
  CHECK(master.run());
  CHECK(seen.accepted == 2);
  CHECK(master.scores().pool().restarts == 1);
  CHECK_THAT(error.text(), Contains("worker 1 of generation 1 ended with SIGKILL"));
}

TEST_CASE("a second pool in one process is refused, and a later one is not") {
  {
    const supervisor first(two_workers(), {});
    CHECK_THROWS_AS(supervisor(two_workers(), {}), std::system_error);
  }
  CHECK_NOTHROW(supervisor(two_workers(), {}));
}

TEST_CASE("a reload whose workers do not start leaves the present ones") {
  scoreboard counted;
  worker_score& seen = *counted.take();
  const test::output error(2);
  int taken = 0;
  int refused = 0;
  supervisor master(two_workers(), {.work =
                                        [&](worker_slot slot) {
                                          if (slot.generation == 2) return 1;
                                          if (seen.accepted.fetch_add(1) == 1) ::kill(::getppid(), SIGHUP);
                                          return serve_nobody(slot);
                                        },
                                    .reload = [] { return two_workers(); },
                                    .reloaded =
                                        [&](bool ok) {
                                          ++(ok ? taken : refused);
                                          ::kill(::getpid(), SIGTERM);
                                        }});
  CHECK(master.run());
  CHECK(taken == 0);
  CHECK(refused == 1);
  CHECK(seen.accepted == 2);
}
