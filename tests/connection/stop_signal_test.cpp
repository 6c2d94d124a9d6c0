#include "weir/connection/detail/stop_signal.hpp"

#include <catch2/catch.hpp>

#include <system_error>

#include "alive.hpp"
#include "loop.hpp"

using namespace weir;

namespace {

task<> wait_for_stop(core* c, int* seen) {
  co_await c->local<stop_signal>().wait();
  ++*seen;
}
task<> wait_by(connection* client, int* seen) {
  co_await client->stopping();
  ++*seen;
}
task<> give(core* c) {
  c->local<stop_signal>().set();
  co_return;
}

}  // namespace

TEST_CASE("a core has one stop signal, which all connections share and which stays") {
  test::loop l;
  test::half one(l);
  test::half other(l);
  int seen = 0;
  CHECK_FALSE(l.core().local<stop_signal>().is_set());
  l.run(wait_for_stop(&l.core(), &seen), wait_by(&one.here, &seen), wait_by(&other.here, &seen),
        give(&l.core()));
  CHECK(seen == 3);
  CHECK(l.core().local<stop_signal>().is_set());
  l.run(wait_for_stop(&l.core(), &seen), wait_by(&one.here, &seen));
  CHECK(seen == 5);
}

TEST_CASE("a cancelled wait for the stop throws operation_canceled, and the signal is as it was") {
  test::loop l;
  int seen = 0;
  std::error_code error;
  test::root r(l.core(), test::error_of(wait_for_stop(&l.core(), &seen), &error));
  l.run(test::rounds());
  l.run(test::cancel(&r), test::until([&] { return r.has_ended(); }));
  CHECK(error == std::errc::operation_canceled);
  CHECK(seen == 0);
  CHECK_FALSE(l.core().local<stop_signal>().is_set());
}

TEST_CASE("a thousand tasks that wait for the stop are destroyed with their core, and the signal with it") {
  test::loop l;
  int living = 0;
  const auto waits = [](core* c, int* n) -> task<> {
    const test::alive here(n);
    co_await c->local<stop_signal>().wait();
  };
  for (int i = 0; i < 1000; ++i) l.core().spawn(waits(&l.core(), &living));
  l.run(test::rounds());
  CHECK(living == 1000);
  l.destroy();
  CHECK(living == 0);
}
