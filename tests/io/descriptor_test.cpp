#include "weir/io/detail/descriptor.hpp"

#include <catch2/catch.hpp>

#include "loop.hpp"

using namespace weir;

namespace {

// Waits until a descriptor is readable, reading nothing.
struct readable_operation : operation {
  explicit readable_operation(io::descriptor& d) noexcept : operation(kind_), on(&d) {}
  bool await_ready() const noexcept { return on->readable; }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) noexcept {
    h.promise().root->suspend(*this, h);
    on->driver->park_reading(*on, *this);
  }
  void await_resume() const noexcept {}
  static bool proceed(operation& op) noexcept {
    static_cast<readable_operation&>(op).on->reading = nullptr;
    return true;
  }
  static bool cancel(operation& op, int) noexcept { return proceed(op); }
  static constexpr operation_kind kind_{&proceed, &cancel};
  io::descriptor* on;
};

}  // namespace

TEST_CASE("a descriptor is tried before it is watched, and watched from its first wait on", "[epoll]") {
  test::loop l(test::over_epoll);
  const auto ends = test::unix_pair();
  io::descriptor d;
  d.fd = ends.a.get();
  d.driver = &l.core().driver();
  const auto wait = [](io::descriptor* on) -> task<> {
    readable_operation op(*on);
    co_await op;
  };
  l.run(wait(&d));  // readable until a system call says otherwise
  CHECK(d.watched == io::descriptor::watch::none);
  d.readable = false;
  const auto write = [](int fd) -> task<> {
    co_await test::rounds(2);
    test::put(fd, "x");
  };
  l.run(wait(&d), write(ends.b.get()));
  CHECK(d.watched == io::descriptor::watch::reads);
  CHECK(d.readable);
  CHECK(d.reading == nullptr);
}
