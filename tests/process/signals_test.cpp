#include "weir/process/detail/signals.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <set>

using namespace weir::process;

TEST_CASE("each signal has one meaning, and the table knows it") {
  std::set<int> numbers;
  for (const auto& row : signal_table) {
    CHECK(numbers.insert(row.number).second);
    REQUIRE(row_of_signal(row.number) != nullptr);
    CHECK(row_of_signal(row.number)->meaning == row.meaning);
    CHECK_FALSE(row.effect.empty());
  }
  CHECK(row_of_signal(SIGSEGV) == nullptr);
}

TEST_CASE("signals are read one by one instead of ending the process, and several of a kind are one") {
  signal_source signals;
  CHECK_FALSE(signals.next());
  for (const int number : {SIGHUP, SIGTERM, SIGHUP}) ::kill(::getpid(), number);
  std::multiset<int> got;
  while (const auto signal = signals.next()) got.insert(signal->number);
  CHECK(got == std::multiset<int>{SIGHUP, SIGTERM});
}

TEST_CASE("the mask is as before when the source is gone, and signals that were not read are dropped") {
  sigset_t before;
  sigset_t after;
  ::sigprocmask(SIG_BLOCK, nullptr, &before);
  {
    const signal_source signals;
    ::kill(::getpid(), SIGTERM);
  }
  ::sigprocmask(SIG_BLOCK, nullptr, &after);
  for (const auto& row : signal_table)
    CHECK(::sigismember(&before, row.number) == ::sigismember(&after, row.number));
}

TEST_CASE("in a child that has given back and unblocked, a signal does what it does by default") {
  signal_source signals;
  const auto pid = ::fork();
  if (pid == 0) {
    static_cast<void>(std::signal(SIGTERM, SIG_DFL));  // instead of the test framework's
    signals.give_back();
    signals.unblock();
    ::raise(SIGTERM);
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  CHECK(WIFSIGNALED(status));
}
