#include <catch2/catch.hpp>

#include "loop.hpp"
#include "waits.hpp"
#include "weir/core/test_core.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

constexpr int most = 10'000;

task<> count_cancelled(task<> t, int* cancelled) {
  std::error_code error;
  co_await test::error_of(std::move(t), &error);
  if (error == std::errc::operation_canceled) ++*cancelled;
}

task<> all_in_a_scope(test::nothing* n, int* begun, int* cancelled) {
  scope s;
  for (; *begun < most; ++*begun) {
    const auto& wait = test::waits[static_cast<std::size_t>(*begun) % test::waits.size()];
    s.spawn(count_cancelled(wait.begin(n), cancelled));
  }
  co_await s.join();
}

}  // namespace

TEST_CASE("ten thousand coroutines that wait in every way are destroyed at once with their core") {
  test::nothing n;
  {
    test_core core(test::over_io_of_run());
    for (int i = 0; i < most; ++i)
      core->spawn(test::waits[static_cast<std::size_t>(i) % test::waits.size()].begin(&n));
    core.settle();
    CHECK(n.living > most);  // some have children
    n.release.set_value();
  }
  CHECK(n.living == 0);
  CHECK(n.permit_pool.in_use() == 0);
}

TEST_CASE("ten thousand coroutines that wait in every way are cancelled at once, and each says so") {
  test::nothing n;
  int begun = 0;
  int cancelled = 0;
  std::error_code error;
  {
    test_core core(test::over_io_of_run());
    test::root all(*core, test::error_of(all_in_a_scope(&n, &begun, &cancelled), &error));
    core.settle();
    CHECK(begun == most);
    CHECK(n.living > most);
    CHECK(cancelled == 0);
    all.cancel();
    core.settle();
    CHECK(all.has_ended());
    CHECK(core->local<connection_table>().all().empty());
    n.release.set_value();
  }
  CHECK(error == std::errc::operation_canceled);
  CHECK(cancelled == most);
  CHECK(n.living == 0);
  CHECK(n.permit_pool.in_use() == 0);
}

TEST_CASE("ten thousand deadlines permit at once, and the core is as it was") {
  test::nothing n;
  int timed_out = 0;
  const auto limited = [](task<> t, int* count) -> task<> {
    std::error_code error;
    co_await test::error_of(within(1s, std::move(t)), &error);
    if (error == std::errc::timed_out) ++*count;
  };
  test_core core(test::over_io_of_run());
  for (int i = 0; i < most; ++i)
    core->spawn(limited(test::waits[static_cast<std::size_t>(i) % test::waits.size()].begin(&n), &timed_out));
  core.advance(999ms);
  CHECK(timed_out == 0);
  core.advance(1ms);
  CHECK(timed_out == most);
  CHECK(n.living == 0);
  CHECK(core->local<connection_table>().all().empty());
  n.release.set_value();
}
