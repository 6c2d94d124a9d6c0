#include "weir/compare/replay.hpp"

#include <sys/syscall.h>

#include <array>
#include <catch2/catch.hpp>
#include <cerrno>

#include "compare/recorded_clients.hpp"
#include "faults.hpp"
#include "weir/base/log.hpp"
#include "weir/connection/reader.hpp"
#include "weir/connection/writer.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

task<> repeat(connection client) {
  writer out(client);
  reader in(client, out);
  while (const auto line = co_await in.until("\n")) {
    out.write(*line);
    out.write("\n");
  }
  co_await out.flush();
}

struct failing_call {
  std::uint32_t call;
  int error;
};
constexpr std::array<failing_call, 6> calls{{{SYS_recvfrom, ECONNRESET},
                                             {SYS_recvfrom, static_cast<int>(faults::answer::short_count)},
                                             {SYS_sendto, EPIPE},
                                             {SYS_sendto, ENOBUFS},
                                             {SYS_sendto, static_cast<int>(faults::answer::short_count)},
                                             {SYS_epoll_ctl, ENOSPC}}};
std::uint64_t hits = 0;

// One of the calls, whose number is drawn with it.
void fail_call(std::uint64_t n) {
  faults::rule& r = faults::control::here()->rules[0];
  r.armed = 0;
  hits += r.hits.exchange(0);
  if (n == 0) return;
  const failing_call& which = calls[n % calls.size()];
  r.call = which.call;
  r.error = which.error;
  r.argument = -1;
  r.first = 1 + n / 16;
  r.count = 1;
  r.calls = 0;
  r.armed = 1;
}

}  // namespace

TEST_CASE("a system call that fails in a replay costs a connection, and no answer looks whole that is not") {
  constexpr std::array<std::uint32_t, 3> trapped{SYS_recvfrom, SYS_sendto, SYS_epoll_ctl};
  if (!faults::begin(trapped.data(), trapped.size())) {
    WARN("this kernel allows no seccomp filter");
    return;
  }
  test::recorded_clients all;
  for (int i = 0; i < 3; ++i)
    all.add(1ms * i, 4ms, {{"one\n", "one\n"}, {"two\nthree\n", "two\nthree\n"}, {"four\n", "four\n"}});
  replay_options how{.faults = replay_faults::of_timing(1)};
  how.faults.failure = true;
  how.is_whole = [](std::string_view answers) { return answers.empty() || answers.ends_with('\n'); };
  how.fail = fail_call;
  log::set_level(log::level::off);
  const auto done =
      replay_seeds(all.content(), [] { return keeping(state_kind::per_connection, repeat); }, 200, how);
  INFO(done.failure);
  CHECK(done);
  CHECK(hits > 10);
}
