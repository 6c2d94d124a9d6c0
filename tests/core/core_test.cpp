#include "weir/core/core.hpp"

#include <sched.h>

#include <catch2/catch.hpp>

#include <csignal>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "loop.hpp"
#include "output.hpp"
#include "weir/base/error.hpp"

using namespace weir;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

int first_allowed_cpu() {
  cpu_set_t set;
  REQUIRE(::sched_getaffinity(0, sizeof set, &set) == 0);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) return cpu;
  return -1;
}

int allowed_count() {
  cpu_set_t set;
  ::sched_getaffinity(0, sizeof set, &set);
  return CPU_COUNT(&set);
}

std::uint64_t cpu_nanoseconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

task<> sleep_on_the_thread(std::chrono::nanoseconds time) {
  std::this_thread::sleep_for(time);
  co_return;
}

task<> compute(std::chrono::nanoseconds time) {
  const std::uint64_t until = cpu_nanoseconds() + static_cast<std::uint64_t>(time.count());
  while (cpu_nanoseconds() < until) continue;
  co_return;
}

}  // namespace

TEST_CASE("a core is busy while its thread has a CPU, and not while it is kept from one") {
  test::loop l;
  const auto& busy = l.core().driver().counted()[observe::figure::busy_nanoseconds];
  l.run(sleep_on_the_thread(300ms));
  const std::uint64_t slept = busy.read();
  CHECK(slept < 150'000'000);
  l.run(compute(50ms));
  CHECK(busy.read() - slept >= 50'000'000);
  CHECK(busy.read() - slept <= cpu_nanoseconds());
}

TEST_CASE("a thread that runs no core has none, and asking for it is an error") {
  CHECK(core::current() == nullptr);
  try {
    static_cast<void>(core::here());
    FAIL("no error");
  } catch (const std::system_error& e) {
    CHECK(e.code() == errc::not_on_a_core);
  }
}

TEST_CASE("a core runs what is posted from any thread on its own, until it is stopped") {
  core c(3, std::nullopt, {});
  CHECK(c.index() == 3);
  CHECK_FALSE(c.cpu());
  std::thread::id ran_on;
  core* current = nullptr;
  std::jthread other([&] {
    c.post([&] {
      ran_on = std::this_thread::get_id();
      current = core::current();
      c.stop();
    });
  });
  c.run();
  CHECK(ran_on == std::this_thread::get_id());
  CHECK(current == &c);
  CHECK(core::current() == nullptr);
}

TEST_CASE("a core that is stopped before it runs does not run") {
  core c(0, std::nullopt, {});
  bool ran = false;
  c.post([&] { ran = true; });
  c.stop();
  c.run();
  CHECK_FALSE(ran);
}

TEST_CASE("a core pins its thread while it runs, and lets it go afterwards") {
  const int cpu = first_allowed_cpu();
  const int before = allowed_count();
  core c(0, cpu, {});
  int during = 0;
  int running_on = -1;
  c.post([&] {
    during = allowed_count();
    running_on = ::sched_getcpu();
    c.stop();
  });
  c.run();
  CHECK(c.cpu() == cpu);
  CHECK(during == 1);
  CHECK(running_on == cpu);
  CHECK(allowed_count() == before);
}

TEST_CASE("a CPU that does not exist is an error that names it") {
  core c(0, 1000, {});
  CHECK_THROWS_WITH(c.run(), Contains("CPU 1000"));
  CHECK(core::current() == nullptr);
}

TEST_CASE("SIGPIPE does not reach the thread of a core, nor the thread afterwards") {
  const auto before = std::signal(SIGPIPE, SIG_DFL);
  core c(0, std::nullopt, {});
  c.post([&] {
    ::pthread_kill(::pthread_self(), SIGPIPE);  // as sendfile does
    c.stop();
  });
  c.run();
  sigset_t now;
  ::pthread_sigmask(SIG_SETMASK, nullptr, &now);
  CHECK(::sigismember(&now, SIGPIPE) == 0);
  ::sigpending(&now);
  CHECK(::sigismember(&now, SIGPIPE) == 0);
  std::signal(SIGPIPE, before);
}

TEST_CASE("an exception that leaves a spawned task is logged and harms nothing else") {
  test::loop l;
  const auto thrower = []() -> task<> {
    throw std::runtime_error("it broke");
    co_return;
  };
  const auto stranger = []() -> task<> {
    throw 1;
    co_return;
  };
  const test::output log(2);
  l.core().spawn(thrower());
  l.core().spawn(stranger());
  l.run(test::rounds());
  CHECK_THAT(log.text(), Contains("core 0: a task ended with an exception: it broke"));
}

TEST_CASE("a spawned task does not start within spawn") {
  test::loop l;
  bool ran = false;
  const auto body = [](bool* flag) -> task<> {
    *flag = true;
    co_return;
  };
  l.core().spawn(body(&ran));
  CHECK_FALSE(ran);
  l.run(test::rounds());
  CHECK(ran);
}

TEST_CASE("a spawned task that has ended is freed, one that has not is destroyed with the core") {
  const auto alive = std::make_shared<int>();
  const auto brief = [](std::shared_ptr<int> /*p*/) -> task<> { co_return; };
  const auto endless = [](std::shared_ptr<int> /*p*/) -> task<> { co_await sleep_for(1h); };
  const auto busy = [](std::shared_ptr<int> /*p*/) -> task<> {
    for (;;) co_await yield();
  };
  test::loop l;
  l.core().spawn(brief(alive));
  CHECK(alive.use_count() == 2);
  l.run(test::rounds());
  CHECK(alive.use_count() == 1);
  for (int i = 0; i < 3; ++i) {
    l.core().spawn(endless(alive));
    l.core().spawn(busy(alive));
  }
  l.run(test::rounds());
  l.core().spawn(endless(alive));  // never started
  CHECK(alive.use_count() == 8);
  l.destroy();
  CHECK(alive.use_count() == 1);
}

TEST_CASE("a task may spawn others") {
  test::loop l;
  struct tree {
    static task<> grow(core* c, int depth, int* leaves) {
      if (depth == 0) {
        ++*leaves;
        co_return;
      }
      c->spawn(grow(c, depth - 1, leaves));
      c->spawn(grow(c, depth - 1, leaves));
    }
  };
  int leaves = 0;
  l.core().spawn(tree::grow(&l.core(), 10, &leaves));
  l.run(test::until([&] { return leaves == 1024; }));
  CHECK(leaves == 1024);
}

TEST_CASE("a core's own object is made once, for it, and destroyed with it") {
  struct counter {
    explicit counter(core& c) : home(&c) {}
    core* home;
    std::shared_ptr<int> alive;
  };
  const auto alive = std::make_shared<int>();
  {
    core a(0, std::nullopt, {});
    core b(1, std::nullopt, {});
    a.local<counter>().alive = alive;
    CHECK(a.local<counter>().home == &a);
    CHECK(&a.local<counter>() == &a.local<counter>());
    CHECK(&a.local<counter>() != &b.local<counter>());
    CHECK(alive.use_count() == 2);
  }
  CHECK(alive.use_count() == 1);
}

TEST_CASE("a core's own objects are destroyed in the reverse of the order in which they were made") {
  struct note {
    explicit note(core&) {}
    std::vector<int>* out = nullptr;
    int name = 0;
    void set(std::vector<int>* o, int n) {
      out = o;
      name = n;
    }
    ~note() { out->push_back(name); }
  };
  struct first : note {
    using note::note;
  };
  struct second : note {
    using note::note;
  };
  struct third : note {
    using note::note;
  };
  struct uses_another : note {  // makes what it needs while it is made itself
    explicit uses_another(core& c) : note(c), needed(&c.local<third>()) {}
    third* needed;
  };
  std::vector<int> order;
  {
    core c(0, std::nullopt, {});
    c.local<second>().set(&order, 2);
    c.local<first>().set(&order, 1);
    c.local<uses_another>().set(&order, 4);
    c.local<third>().set(&order, 3);
  }
  CHECK(order == std::vector{4, 3, 1, 2});
}
