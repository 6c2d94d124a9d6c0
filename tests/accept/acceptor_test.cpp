#include "weir/accept/detail/acceptor.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "loop.hpp"
#include "output.hpp"

using namespace weir;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

namespace {

struct fixture {
  explicit fixture(std::uint32_t limit) : permits(limit) {}
  // Frames that are left refer to the acceptor.
  ~fixture() {
    permits.forget_waiting();
    l.destroy();
  }

  void run_until_accepted(std::size_t n) {
    l.run(test::until([this, n] { return arrived.size() >= n; }));
  }

  bound_socket listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  permit_pool permits;
  std::vector<accepted_socket> arrived;
  test::loop l;
  acceptor a{l.core(), listener, permits, [this](accepted_socket s) { arrived.push_back(std::move(s)); }};
};

}  // namespace

TEST_CASE("an acceptor accepts nothing before it is started, and then all that wait") {
  fixture f(100);
  std::vector<test::client> clients;
  for (int i = 0; i < 20; ++i) clients.emplace_back(f.listener.local());
  f.l.run(test::rounds(32));
  CHECK(f.arrived.empty());
  f.a.start();
  f.run_until_accepted(20);
  CHECK(f.a.accepted() == 20);
  CHECK(f.permits.in_use() == 20);
  CHECK(std::ranges::all_of(f.arrived,
                            [](const accepted_socket& s) { return s.fd && s.permit && s.peer.is_ip(); }));
}

TEST_CASE("a stand-in leaves clients to the listener's own loop, and takes them while that one is held") {
  fixture f(100);
  bool held = false;
  int asked = 0;
  f.a.stand_in_while([&] {
    ++asked;
    return held;
  });
  f.a.start();
  f.l.run(test::rounds(32));
  CHECK(asked == 0);  // there is no client
  const test::client one(f.listener.local());
  const test::client two(f.listener.local());
  f.l.run(test::until([&] { return asked == 2; }));
  CHECK(f.arrived.empty());
  held = true;
  f.run_until_accepted(2);
  held = false;
  const test::client three(f.listener.local());
  bool stopped = false;
  f.a.stop([&] { stopped = true; });
  f.l.run(test::until([&] { return stopped; }));
  CHECK(f.arrived.size() == 2);
}

TEST_CASE("an acceptor pauses when no permit is free, and takes the next client as soon as one is") {
  fixture f(2);
  f.a.start();
  std::vector<test::client> clients;
  for (int i = 0; i < 4; ++i) clients.emplace_back(f.listener.local());
  f.run_until_accepted(2);
  f.l.run(test::rounds(32));
  CHECK(f.arrived.size() == 2);
  CHECK(f.permits.in_use() == 2);

  // The loop sleeps meanwhile: the listener is not watched.
  const auto before = f.l.core().driver().batch();
  const auto idle = []() -> task<> { co_await sleep_for(20ms); };
  f.l.run(idle());
  CHECK(f.l.core().driver().batch() - before < 20);

  for (std::size_t served = 2; served < 4; ++served) {
    f.arrived[served - 2].permit = {};
    f.run_until_accepted(served + 1);
    CHECK(f.permits.in_use() == 2);
    f.l.run(test::rounds(32));
    CHECK(f.arrived.size() == served + 1);
  }
  CHECK(f.a.pauses() == 0);
}

TEST_CASE("a permit that another thread gives back wakes the acceptor") {
  fixture f(1);
  f.a.start();
  const test::client first(f.listener.local());
  const test::client second(f.listener.local());
  f.run_until_accepted(1);
  f.l.run(test::rounds());
  std::jthread other([permit = std::move(f.arrived[0].permit)]() mutable { permit = {}; });
  f.run_until_accepted(2);
  CHECK(f.a.accepted() == 2);
}

TEST_CASE("two acceptors that share a permit pool both go on when there is room") {
  fixture f(1);
  auto second_listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  acceptor second(f.l.core(), second_listener, f.permits,
                  [&f](accepted_socket s) { f.arrived.push_back(std::move(s)); });
  f.a.start();
  second.start();
  std::vector<test::client> clients;
  for (int i = 0; i < 3; ++i) {
    clients.emplace_back(f.listener.local());
    clients.emplace_back(second_listener.local());
  }
  for (std::size_t i = 0; i < 6; ++i) {
    f.run_until_accepted(i + 1);
    f.l.run(test::rounds());
    CHECK(f.arrived.size() == i + 1);
    f.arrived[i].permit = {};
  }
  CHECK(f.a.accepted() == 3);
  CHECK(second.accepted() == 3);
  f.permits.forget_waiting();
  f.l.destroy();
}

TEST_CASE("an acceptor without descriptors pauses, says so once, and recovers by itself") {
  if (build::sanitized) return;  // a sanitizer needs descriptors of its own, to look at memory
  fixture f(100);
  f.a.start();
  std::vector<test::client> clients;
  for (int i = 0; i < 3; ++i) clients.emplace_back(f.listener.local());
  const test::output log(2);
  {
    const test::no_descriptors none;
    const auto before = std::chrono::steady_clock::now();
    f.l.run(test::until([&] { return f.a.pauses() == 2; }));
    CHECK(std::chrono::steady_clock::now() - before >= 90ms);
    CHECK(f.arrived.empty());
    CHECK(f.permits.in_use() == 0);
  }
  f.run_until_accepted(3);
  CHECK(f.a.accepted() == 3);
  const auto text = log.text();
  CHECK_THAT(text,
             Contains("accept on " + f.listener.local().to_string() + ": Too many open files; pausing"));
  CHECK(std::ranges::count(text, '\n') == 1);
}

TEST_CASE("a stopped acceptor accepts nothing more, and leaves the queue to the kernel") {
  fixture f(100);
  f.a.start();
  const test::client first(f.listener.local());
  f.run_until_accepted(1);
  f.l.core().post([&] { f.a.stop(); });
  f.l.run(test::rounds());
  const test::client second(f.listener.local());
  f.l.run(test::rounds(32));
  CHECK(f.arrived.size() == 1);
  CHECK(test::wait_readable(f.listener.get()));
  const unique_fd still_there(::accept4(f.listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  CHECK(still_there);
}

TEST_CASE("an acceptor that is stopped while it waits for its turn accepts nothing more") {
  fixture f(100);
  f.a.start();
  f.l.run(test::rounds());
  std::vector<test::client> clients;
  // A burst longer than the inline budget: the rest waits in the run queue.
  for (int i = 0; i < 90; ++i) clients.emplace_back(f.listener.local());
  std::size_t at_stop = 0;
  const auto stop = [](fixture* x, std::size_t* seen) -> task<> {
    while (x->arrived.empty()) co_await yield();
    x->a.stop();
    *seen = x->arrived.size();
  };
  f.l.run(stop(&f, &at_stop));
  f.l.run(test::rounds(32));
  CHECK(at_stop >= 1);
  CHECK(f.arrived.size() == at_stop);
}

TEST_CASE("an acceptor that waits for a permit or pauses may be stopped") {
  fixture f(1);
  f.a.start();
  const test::client first(f.listener.local());
  const test::client second(f.listener.local());
  f.run_until_accepted(1);
  f.l.core().post([&] { f.a.stop(); });
  f.l.run(test::rounds());
  f.arrived[0].permit = {};
  f.l.run(test::rounds(32));
  CHECK(f.a.accepted() == 1);
}

TEST_CASE("a listener that is none is given up with an error in the log") {
  fixture f(1);
  const test::output log(2);
  f.a.start();
  const unique_fd nothing(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::dup3(nothing.get(), f.listener.get(), O_CLOEXEC) >= 0);
  f.l.run(test::until([&] { return log.has("this listener is closed"); }));
  CHECK(f.arrived.empty());
}

TEST_CASE("whatever a hand-over throws costs that connection only, and the acceptor can be stopped") {
  fixture f(100);
  const test::output log(2);
  int calls = 0;
  acceptor a(f.l.core(), f.listener, f.permits, [&](accepted_socket s) {
    switch (++calls) {
      case 1: throw std::bad_alloc();
      case 2: throw 7;
      case 3: throw std::system_error(std::make_error_code(std::errc::operation_canceled));
      default: f.arrived.push_back(std::move(s));
    }
  });
  a.start();
  std::vector<test::client> clients;
  for (int i = 0; i < 5; ++i) clients.emplace_back(f.listener.local());
  f.run_until_accepted(2);
  CHECK(a.dropped() == 3);
  CHECK(f.permits.in_use() == 2);
  const auto text = log.text();
  CHECK(std::ranges::count(text, '\n') == 1);
  bool stopped = false;
  f.l.core().post([&] { a.stop([&] { stopped = true; }); });
  f.l.run(test::until([&] { return stopped; }));
  f.l.destroy();
}
