#include "weir/io/detail/readiness_driver.hpp"

#include <catch2/catch.hpp>

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "loop.hpp"
#include "weir/core/switch_to.hpp"
#include "weir/task/use_task.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

enum class direction : std::uint8_t { reading, writing };

// Waits for the next readiness of a descriptor.
struct ready_operation : operation {
  ready_operation(io::descriptor& d, direction w) noexcept : operation(kind_), on(&d), way(w) {}
  bool await_ready() const noexcept { return false; }
  template <task_promise P>
  void await_suspend(std::coroutine_handle<P> h) noexcept {
    h.promise().root->suspend(*this, h);
    if (way == direction::reading)
      on->driver->park_reading(*on, *this);
    else
      on->driver->park_writing(*on, *this);
  }
  int await_resume() const noexcept { return error; }
  static bool proceed(operation& op) noexcept {
    auto& self = static_cast<ready_operation&>(op);
    if (self.on->reading == &self) self.on->reading = nullptr;
    if (self.on->writing == &self) self.on->writing = nullptr;
    return true;
  }
  static bool cancel(operation& op, int error) noexcept {
    static_cast<ready_operation&>(op).error = error;
    return proceed(op);
  }
  static constexpr operation_kind kind_{&proceed, &cancel};
  io::descriptor* on;
  direction way;
  int error = 0;
};

// Finds nothing after its event, and its descriptor has become `other` when it waits again.
struct wait_twice : ready_operation {
  explicit wait_twice(io::descriptor& d) noexcept : ready_operation(d, direction::reading) { kind = &twice; }
  static bool proceed(operation& op) noexcept {
    auto& self = static_cast<wait_twice&>(op);
    self.on->driver->forget(*self.on);
    self.on->fd = self.other;
    self.on->driver->park_reading(*self.on, self);
    return false;
  }
  static constexpr operation_kind twice{&proceed, &ready_operation::cancel};
  int other = -1;
};

task<> wait_for(io::descriptor* d, direction way, int* count) {
  ready_operation op(*d, way);
  static_cast<void>(co_await op);
  ++*count;
}

struct open_descriptor : io::descriptor {
  open_descriptor(test::loop& l, int socket) {
    fd = socket;
    driver = &l.core().driver();
    test::make_non_blocking(socket);
  }
};

// A chain that is never suspended: notes its turns.
struct turning final : chain {
  turning(run_queue& home, std::vector<int>* o, int n) : chain(home), order(o), name(n) {}
  void finished() noexcept override {}
  void turn() override { order->push_back(name); }
  std::vector<int>* order;
  int name;
};

// Bytes to and fro, until told to end.
task<> ping(connection c, const bool* over) {
  bool open = co_await c.send("x");
  while (open && !*over) {
    const auto data = co_await c.receive();
    if (!data) co_return;
    open = co_await c.send(data);
  }
}

settings budget_of(std::uint32_t n) {
  settings s;
  s.loop.inline_budget = n;
  return s;
}

}  // namespace

TEST_CASE("data and FIN that come as one event are both noticed") {
  const auto reader = [](connection c, std::string* got, bool* ended) -> task<> {
    while (auto data = co_await c.receive()) *got += data.text();
    *ended = c.end() == ending::peer_closed;
  };
  const auto peer = [](unique_fd fd) -> task<> {
    co_await test::rounds();  // the reader waits by now
    test::put(fd.get(), "last words");
    fd.reset();
  };
  for (const bool tcp : {true, false}) {
    CAPTURE(tcp);
    test::loop l;
    test::half h(l, tcp ? test::tcp_pair() : test::unix_pair());
    std::string got;
    bool ended = false;
    l.run(reader(std::move(h.here), &got, &ended), peer(std::move(h.there)));
    CHECK(got == "last words");
    CHECK(ended);
  }
}

TEST_CASE("a hang-up is remembered by the descriptor", "[epoll]") {
  test::loop l(test::over_epoll);
  auto ends = test::unix_pair();
  open_descriptor d(l, ends.a.get());
  int count = 0;
  test::root r(l.core(), wait_for(&d, direction::reading, &count));
  l.run(test::rounds());
  CHECK(count == 0);
  CHECK_FALSE(d.reads_until_eagain);
  ends.b.reset();
  l.run(test::until([&] { return r.has_ended(); }));
  CHECK(d.reads_until_eagain);
  CHECK(d.readable);
}

TEST_CASE("who waits to write goes on when there is room again", "[epoll]") {
  test::loop l(test::over_epoll);
  auto ends = test::unix_pair();
  open_descriptor d(l, ends.a.get());
  const std::string much(65536, 'x');
  while (::send(d.fd, much.data(), much.size(), MSG_DONTWAIT) > 0) {
  }
  int count = 0;
  test::root r(l.core(), wait_for(&d, direction::writing, &count));
  l.run(test::rounds());
  CHECK(count == 0);
  CHECK(d.watched == io::descriptor::watch::both);
  static_cast<void>(test::drained(ends.b.get()));
  l.run(test::until([&] { return r.has_ended(); }));
  CHECK(d.writable);
}

TEST_CASE("one descriptor may be waited for in both directions at once") {
  test::loop l;
  auto ends = test::unix_pair();
  open_descriptor d(l, ends.a.get());
  const std::string much(65536, 'x');
  while (::send(d.fd, much.data(), much.size(), MSG_DONTWAIT) > 0) {
  }
  int reads = 0;
  int writes = 0;
  test::root reading(l.core(), wait_for(&d, direction::reading, &reads));
  test::root writing(l.core(), wait_for(&d, direction::writing, &writes));
  l.run(test::rounds());
  test::put(ends.b.get(), "x");
  l.run(test::until([&] { return reading.has_ended(); }));
  CHECK(writes == 0);
  static_cast<void>(test::drained(ends.b.get()));
  l.run(test::until([&] { return writing.has_ended(); }));
  CHECK(reads == 1);
}

TEST_CASE("an operation on what epoll refuses ends with the errno, in either direction and at every attempt",
          "[epoll]") {
  test::loop l(test::over_epoll);
  const unique_fd file(::memfd_create("file", MFD_CLOEXEC));  // epoll refuses files
  io::descriptor d;
  d.fd = file.get();
  d.driver = &l.core().driver();
  const auto fail_twice = [](io::descriptor* on, direction way, std::vector<int>* errors) -> task<> {
    for (int i = 0; i < 2; ++i) {
      ready_operation op(*on, way);
      const int error = co_await op;
      errors->push_back(error);
    }
  };
  std::vector<int> errors;
  l.run(fail_twice(&d, direction::reading, &errors), fail_twice(&d, direction::writing, &errors));
  CHECK(errors == std::vector{EPERM, EPERM, EPERM, EPERM});
  CHECK(d.watched == io::descriptor::watch::none);
  CHECK(d.reading == nullptr);
  CHECK(d.writing == nullptr);
}

TEST_CASE("an operation that is refused a wait after an event ends with the errno", "[epoll]") {
  test::loop l(test::over_epoll);
  auto ends = test::unix_pair();
  open_descriptor d(l, ends.a.get());
  const unique_fd file(::memfd_create("file", MFD_CLOEXEC));
  const auto body = [](io::descriptor* on, int other, int* error) -> task<> {
    wait_twice op(*on);
    op.other = other;
    *error = co_await op;
  };
  int error = 0;
  test::put(ends.b.get(), "x");
  l.run(body(&d, file.get(), &error));
  CHECK(error == EPERM);
}

TEST_CASE("an edge is reported once, and a level until it is read or no operation reads", "[epoll]") {
  test::loop l(test::over_epoll);
  for (const bool level : {false, true}) {
    CAPTURE(level);
    auto ends = test::unix_pair();
    open_descriptor d(l, ends.a.get());
    d.level = level;
    int count = 0;
    test::root r(l.core(), wait_for(&d, direction::reading, &count));
    l.run(test::rounds());
    test::put(ends.b.get(), "x");
    l.run(test::until([&] { return r.has_ended(); }));
    l.run(test::rounds());
    // Nobody reads: a level is not watched any more, and an edge has been told.
    CHECK(d.watched == (level ? io::descriptor::watch::none : io::descriptor::watch::reads));
    const auto before = l.core().driver().batch();
    const auto idle = []() -> task<> { co_await sleep_for(20ms); };
    l.run(idle());
    CHECK(l.core().driver().batch() - before < 20);  // the loop sleeps

    // A later wait finds what is still there, if the level is what counts.
    test::root again(l.core(), wait_for(&d, direction::reading, &count));
    l.run(test::rounds());
    CHECK(count == (level ? 2 : 1));
    l.core().driver().forget(d);
  }
}

TEST_CASE("a descriptor that is forgotten is not reported, and can be watched again") {
  test::loop l;
  auto ends = test::unix_pair();
  open_descriptor d(l, ends.a.get());
  int count = 0;
  test::root r(l.core(), wait_for(&d, direction::reading, &count));
  l.run(test::rounds());
  l.core().driver().forget(d);
  test::put(ends.b.get(), "x");
  l.run(test::rounds());
  CHECK(count == 0);
  r.end_wait(ECANCELED);
  l.run(test::rounds());
  CHECK(count == 1);
  l.run(wait_for(&d, direction::reading, &count));
  CHECK(count == 2);
}

TEST_CASE("the run queue is first in first out, takes each once, and lets one leave from any place") {
  test::loop l;
  std::vector<int> order;
  auto& driver = l.core().driver();
  turning a(driver, &order, 1);
  turning b(driver, &order, 2);
  turning c(driver, &order, 3);
  turning d(driver, &order, 4);
  for (turning* t : {&a, &b, &c, &d}) driver.schedule(*t);
  driver.schedule(b);
  driver.unschedule(a);
  driver.unschedule(d);
  driver.unschedule(d);
  driver.schedule(a);
  driver.unschedule(c);
  l.run(test::rounds());
  CHECK(order == std::vector{2, 1});
}

TEST_CASE("a greedy coroutine goes to the back after its budget of inline operations") {
  constexpr std::uint32_t budget = 8;
  test::loop l(budget_of(budget));
  test::half h(l);
  test::put(h.there.get(), std::string(4000, 'x'));
  struct state {
    int reads = 0;
    int longest = 0;
    bool over = false;
  } s;
  const auto greedy = [](connection c, state* shared) -> task<> {
    std::byte one[1];
    for (int i = 0; i < 4000; ++i) {
      const std::size_t n = co_await c.read_some(one);
      shared->reads += static_cast<int>(n);
    }
    shared->over = true;
  };
  const auto modest = [](state* shared) -> task<> {
    int before = shared->reads;
    while (!shared->over) {
      co_await yield();
      shared->longest = std::max(shared->longest, shared->reads - before);
      before = shared->reads;
    }
  };
  l.run(greedy(std::move(h.here), &s), modest(&s));
  CHECK(s.reads == 4000);
  CHECK(s.longest >= 1);
  CHECK(s.longest <= static_cast<int>(budget));
}

TEST_CASE("a greedy sender gives others their turn as well") {
  constexpr std::uint32_t budget = 8;
  test::loop l(budget_of(budget));
  test::half h(l, test::tcp_pair());
  struct state {
    int sends = 0;
    int longest = 0;
    bool over = false;
  } s;
  const auto greedy = [](connection c, state* shared) -> task<> {
    for (int i = 0; i < 1000; ++i) {
      const bool sent = co_await c.send("x");
      if (sent) ++shared->sends;
    }
    shared->over = true;
  };
  const auto modest = [](state* shared) -> task<> {
    int before = shared->sends;
    while (!shared->over) {
      co_await yield();
      shared->longest = std::max(shared->longest, shared->sends - before);
      before = shared->sends;
    }
  };
  l.run(greedy(std::move(h.here), &s), modest(&s));
  CHECK(s.sends == 1000);
  CHECK(s.longest <= static_cast<int>(budget));
}

TEST_CASE("posts and timers get their turn while sockets are never idle") {
  test::loop l;
  bool over = false;
  std::vector<test::whole> pairs;
  for (int i = 0; i < 4; ++i) pairs.emplace_back(l);
  const auto post = [](core* c) -> task<> {
    co_await asio::post(c->context(), use_task);
    co_await sleep_for(5ms);
    co_await asio::post(c->context(), use_task);
  };
  const auto end = [](task<> t, bool* flag) -> task<> {
    co_await t;
    *flag = true;
  };
  auto& p = pairs;
  l.run(end(post(&l.core()), &over), ping(std::move(p[0].a), &over), ping(std::move(p[0].b), &over),
        ping(std::move(p[1].a), &over), ping(std::move(p[1].b), &over), ping(std::move(p[2].a), &over),
        ping(std::move(p[2].b), &over), ping(std::move(p[3].a), &over), ping(std::move(p[3].b), &over));
  CHECK(over);
}

TEST_CASE("posts get their turn while a coroutine always yields") {
  test::loop l;
  bool posted = false;
  l.core().post([&] { posted = true; });
  l.run(test::until([&] { return posted; }));
  CHECK(posted);
}

TEST_CASE("no wake-up of another thread is lost, whether the loop sleeps or works") {
  constexpr int rounds = 20'000;
  std::optional<test::loop> there;
  std::promise<void> opened;
  test::loop here;
  std::thread other([&] {
    there.emplace();  // a ring belongs to the thread that opens it
    opened.set_value();
    there->run_to_stop();
  });
  opened.get_future().wait();
  const auto to_and_fro = [](core* home, core* away) -> task<> {
    for (int i = 0; i < rounds; ++i) {
      co_await switch_to(*away);
      co_await switch_to(*home);
    }
  };
  // Two of them, so that each loop is now asleep and now at work when it is called.
  here.run(to_and_fro(&here.core(), &there->core()), to_and_fro(&here.core(), &there->core()));
  there->core().stop();
  other.join();
}

TEST_CASE("a loop that cannot be opened is opened when descriptors are free again") {
  test::loop l(settings{}, core_role{.opens_late = true});
  auto pair = test::unix_pair();
  open_descriptor d(l, pair.a.get());
  int count = 0;
  std::vector<unique_fd> taken;
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{64, before.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &few);
  for (int fd = 0; (fd = ::dup(0)) >= 0;) taken.emplace_back(fd);
  const auto fails = [](io::descriptor* on, int* error) -> task<> {
    ready_operation op(*on, direction::reading);
    *error = co_await op;
  };
  for (int more = 0; more < 5; ++more) {
    int error = 0;
    const core::entered inside(l.core());
    l.core().spawn(fails(&d, &error));
    while (error == 0) l.core().poll();
    CHECK(error == EMFILE);
    taken.pop_back();  // so that another call is the one that fails
  }
  taken.clear();
  ::setrlimit(RLIMIT_NOFILE, &before);
  test::put(pair.b.get(), "x");
  l.run(wait_for(&d, direction::reading, &count));
  CHECK(count == 1);
  l.core().driver().forget(d);
}

TEST_CASE("many sockets that are ready at once are all served, in batches") {
  settings s;
  s.loop.events = 4;
  s.loop.polls_per_turn = 2;
  test::loop l(s);
  std::vector<test::sockets> pairs;
  std::vector<open_descriptor> all;
  int count = 0;
  std::vector<std::unique_ptr<test::root>> waiting;
  for (int i = 0; i < 50; ++i) {
    pairs.push_back(test::unix_pair());
    all.emplace_back(l, pairs.back().a.get());
  }
  for (auto& d : all)
    waiting.push_back(std::make_unique<test::root>(l.core(), wait_for(&d, direction::reading, &count)));
  l.run(test::rounds());
  for (auto& p : pairs) test::put(p.b.get(), "x");
  l.run(test::until([&] { return count == 50; }));
  CHECK(count == 50);
}
