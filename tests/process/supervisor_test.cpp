#include "weir/process/detail/supervisor.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <csignal>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

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

// A worker without clients, until a signal or a message from the master ends it.
int serve(worker_slot slot) {
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

// Figures that the test, the master and its workers see alike.
struct shared_figures {
  std::atomic<int> started{0};
  std::atomic<int> served{0};
  std::atomic<int> left{0};
  std::atomic<::pid_t> first{0};
  std::atomic<int> step{0};
};

class shared_memory {
 public:
  shared_memory()
      : at_(new(::mmap(nullptr, sizeof(shared_figures), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                       -1, 0)) shared_figures) {}
  shared_memory(const shared_memory&) = delete;
  shared_memory& operator=(const shared_memory&) = delete;
  ~shared_memory() { ::munmap(at_, sizeof(shared_figures)); }
  shared_figures* operator->() const { return at_; }

 private:
  shared_figures* at_;
};

// In a worker process: polls. What does not come within the bound ends the worker with an exit code that no
// test expects.
template <class Predicate>
void until(Predicate true_at_last) {
  const auto end = std::chrono::steady_clock::now() + 20s;
  const timespec a_moment{.tv_sec = 0, .tv_nsec = 1'000'000};
  while (!true_at_last()) {
    if (std::chrono::steady_clock::now() > end) ::_exit(99);
    ::nanosleep(&a_moment, nullptr);
  }
}

void tell_master(int signal) { ::kill(::getppid(), signal); }

// The master ignores SIGWINCH in the foreground of a terminal.
void leave_terminal() {
  const unique_fd terminal(::open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (terminal) ::ioctl(terminal.get(), TIOCNOTTY);
}

bool has_ended(::pid_t process) { return ::kill(process, 0) != 0; }

}  // namespace

TEST_CASE("a worker that says that it cannot start ends the pool") {
  const test::output error(2);
  supervisor master(two_workers(), {.work = [](worker_slot) { return 3; }});
  CHECK(master.run() == supervisor::outcome::never_served);
  CHECK_THAT(error.text(), Contains("exit code 3") && Contains("no worker has ever served"));
}

TEST_CASE("the pool is filled, and ends when a signal says so") {
  scoreboard counted;
  worker_score& seen = *counted.take();
  const test::output error(2);
  supervisor master(two_workers(), {.work = [&](worker_slot slot) {
                      if (seen.accepted.fetch_add(1) == 1) ::kill(::getppid(), SIGQUIT);
                      return serve(slot);
                    }});
  CHECK(master.run() == supervisor::outcome::stopped);
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
                      return serve(slot);
                    }});
  CHECK(master.run() == supervisor::outcome::stopped);
  CHECK(seen.accepted == 2);
  CHECK(master.scores().pool().restarts == 1);
  CHECK_THAT(error.text(), Contains("worker 1 of generation 1 ended with SIGKILL"));
}

TEST_CASE("each connection that a worker hands on is answered, though its channel is full meanwhile") {
  constexpr std::uint32_t many = 600;  // more than a channel takes
  const test::output error(2);
  settings s;
  s.processes.count = 1;
  std::uint32_t placed = 0;
  supervisor master(
      s, {.work = [&](worker_slot slot) {
        using sent = descriptor_channel::sent;
        using received = descriptor_channel::received::kind;
        slot.to_master.send({message::kind::serving, 0});
        const unique_fd any(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        for (std::uint32_t i = 0; i < many; ++i)
          until([&] { return slot.to_master.send({message::kind::connection, 0}, any.get()) == sent::yes; });
        until([&] {
          const auto got = slot.to_master.receive();
          if (got.what == received::taken && got.content.what == message::kind::placed)
            placed += got.content.number;
          return placed == many;
        });
        tell_master(SIGTERM);
        return serve(slot);
      }});
  CHECK(master.run() == supervisor::outcome::cut_connections);  // those that have come back were not served
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
                                          return serve(slot);
                                        },
                                    .reload = [] { return two_workers(); },
                                    .reloaded =
                                        [&](bool ok) {
                                          ++(ok ? taken : refused);
                                          ::kill(::getpid(), SIGTERM);
                                        }});
  CHECK(master.run() == supervisor::outcome::stopped);
  CHECK(taken == 0);
  CHECK(refused == 1);
  CHECK(seen.accepted == 2);
}

TEST_CASE("one worker fewer than none is none") {
  leave_terminal();
  const shared_memory seen;
  const test::output error(2);
  supervisor master(two_workers(), {.work = [&](worker_slot slot) {
                      const int me = seen->started.fetch_add(1);
                      if (me == 0) seen->first = ::getpid();
                      if (me == 1) tell_master(SIGWINCH);
                      const int code = serve(slot);
                      if (me == 0) tell_master(SIGTTOU);
                      if (me == 1) {
                        // By then the master has obeyed what the first one sent before it ended.
                        until([&] { return has_ended(seen->first); });
                        tell_master(SIGTERM);
                      }
                      return code;
                    }});
  static_cast<void>(master.run());
  CHECK(seen->started == 2);
}

TEST_CASE("the number of workers that is asked for during a reload is obeyed after it") {
  leave_terminal();
  for (const auto& [signal, workers] :
       {std::pair{SIGTTIN, 3}, std::pair{SIGTTOU, 1}, std::pair{SIGWINCH, 0}}) {
    const shared_memory seen;
    seen->step = -1;
    const test::output error(2);
    supervisor master(two_workers(), {
                                         .work =
                                             [&](worker_slot slot) {
                                               if (slot.generation == 1) {
                                                 if (seen->started.fetch_add(1) == 1) tell_master(SIGHUP);
                                                 return serve(slot);
                                               }
                                               // Two of the new generation; the reload is pending until both
                                               // of them serve.
                                               if (seen->served.fetch_add(1) == 0)
                                                 tell_master(signal);
                                               else
                                                 until([&] { return seen->served >= 2; });
                                               const int code = serve(slot);
                                               ++seen->left;
                                               return code;
                                             },
                                         .reload = [] { return two_workers(); },
                                         .resized =
                                             [&](unsigned now) {
                                               seen->step = static_cast<int>(now);
                                               if (now == static_cast<unsigned>(workers))
                                                 ::kill(::getpid(), SIGTERM);
                                             },
                                     });
    ::alarm(30);
    static_cast<void>(master.run());
    ::alarm(0);
    CHECK(seen->step == workers);
    CHECK(seen->started == 2);
  }
}

TEST_CASE("a worker that ends while a reload is pending is replaced") {
  const shared_memory seen;
  const test::output error(2);
  supervisor master(two_workers(), {.work =
                                        [&](worker_slot slot) {
                                          if (slot.generation == 1) {
                                            const int me = seen->started.fetch_add(1);
                                            if (me == 1) tell_master(SIGHUP);
                                            if (me == 0) {
                                              slot.to_master.send({message::kind::serving, 0});
                                              until([&] { return seen->step != 0; });
                                              return 1;
                                            }
                                            return serve(slot);
                                          }
                                          // The new generation serves when the old one has three that were
                                          // started.
                                          seen->step = 1;
                                          until([&] { return seen->started >= 3; });
                                          return serve(slot);
                                        },
                                    .reload = [] { return two_workers(); },
                                    .reloaded =
                                        [&](bool ok) {
                                          seen->served = ok ? 1 : -1;
                                          ::kill(::getpid(), SIGTERM);
                                        }});
  static_cast<void>(master.run());
  CHECK(seen->served == 1);
  CHECK(seen->started == 3);
}

TEST_CASE("a new worker that asks to leave at once does not hold up its reload") {
  const shared_memory seen;
  const test::output error(2);
  supervisor master(two_workers(), {.work =
                                        [&](worker_slot slot) {
                                          if (slot.generation == 1) {
                                            if (seen->started.fetch_add(1) == 1) tell_master(SIGHUP);
                                            return serve(slot);
                                          }
                                          if (seen->step.fetch_add(1) == 0) {
                                            slot.to_master.send({message::kind::serving, 0});
                                            slot.to_master.send({message::kind::leaving, 0});
                                            pollfd word{slot.to_master.get(), POLLIN, 0};
                                            ::poll(&word, 1, 20'000);
                                            seen->left = 1;
                                            return 0;
                                          }
                                          until([&] { return seen->left == 1; });
                                          return serve(slot);
                                        },
                                    .reload = [] { return two_workers(); },
                                    .reloaded =
                                        [&](bool ok) {
                                          seen->served = ok ? 1 : -1;
                                          ::kill(::getpid(), SIGTERM);
                                        }});
  ::alarm(30);
  static_cast<void>(master.run());
  ::alarm(0);
  CHECK(seen->served == 1);
}

TEST_CASE("a log that cannot be opened again leaves the pool as it was") {
  const shared_memory seen;
  const test::output error(2);
  supervisor master(two_workers(), {.work =
                                        [&](worker_slot slot) {
                                          if (seen->started.fetch_add(1) == 1) tell_master(SIGUSR1);
                                          return serve(slot);
                                        },
                                    .reopen_log =
                                        [] {
                                          ::kill(::getpid(), SIGTERM);
                                          throw std::runtime_error("no such folder");
                                        }});
  CHECK_NOTHROW(static_cast<void>(master.run()));
  CHECK_THAT(error.text(), Contains("no such folder"));
}

TEST_CASE("a second drain tells a worker nothing that it does not know") {
  leave_terminal();
  const shared_memory seen;
  const test::output error(2);
  supervisor master(two_workers(), {.work = [&](worker_slot slot) {
                      const int me = seen->started.fetch_add(1);
                      slot.to_master.send({message::kind::serving, 0});
                      if (me == 1) tell_master(SIGWINCH);
                      pollfd word{slot.to_master.get(), POLLIN, 0};
                      ::poll(&word, 1, 20'000);
                      static_cast<void>(slot.to_master.receive());
                      ++seen->left;
                      if (me == 0) {
                        seen->first = ::getpid();
                        until([&] { return seen->left == 2; });
                        tell_master(SIGQUIT);
                        return 0;  // the master has obeyed when it reaps this process
                      }
                      until([&] { return seen->first != 0 && has_ended(seen->first); });
                      if (::poll(&word, 1, 0) > 0) seen->step = 1;
                      return 0;
                    }});
  static_cast<void>(master.run());
  CHECK(seen->left == 2);
  CHECK(seen->step == 0);
}

TEST_CASE("a pool says that connections were cut if a worker had to cut some while the pool ended") {
  const test::output error(2);
  const shared_memory seen;
  supervisor master(two_workers(), {.work = [&](worker_slot slot) {
                      const int me = seen->started.fetch_add(1);
                      if (me == 1) tell_master(SIGQUIT);
                      serve(slot);
                      return me == 1 ? exit_connections_cut : 0;
                    }});
  CHECK(master.run() == supervisor::outcome::cut_connections);
}

TEST_CASE("a stop while workers are still starting ends the pool") {
  const test::output error(2);
  const shared_memory seen;
  supervisor master(two_workers(), {.work = [&](worker_slot slot) {
                      if (seen->started.fetch_add(1) == 1) {
                        tell_master(SIGQUIT);
                        tell_master(SIGTERM);
                      }
                      static_cast<void>(std::signal(SIGTERM, SIG_DFL));  // instead of the test framework's
                      slot.signals.unblock();
                      for (;;) ::pause();
                      return 0;
                    }});
  CHECK(master.run() == supervisor::outcome::stopped);
  CHECK(seen->started == 2);
}

TEST_CASE("of a drain of the workers and a reload that come at once the reload counts as the later one") {
  leave_terminal();
  const test::output error(2);
  const shared_memory seen;
  std::vector<std::string> commands;
  supervisor master(two_workers(), {.work =
                                        [&](worker_slot slot) {
                                          const int me = seen->started.fetch_add(1);
                                          if (me == 1) tell_master(SIGUSR1);
                                          if (me == 3) tell_master(SIGTERM);
                                          return serve(slot);
                                        },
                                    .reload =
                                        [&] {
                                          commands.emplace_back("reload");
                                          return two_workers();
                                        },
                                    .resized = [&](unsigned n) { commands.push_back(std::to_string(n)); },
                                    .reopen_log =
                                        [] {
                                          ::kill(::getpid(), SIGWINCH);
                                          ::kill(::getpid(), SIGHUP);
                                        }});
  static_cast<void>(master.run());
  CHECK(commands == std::vector<std::string>{"0", "reload"});
}
