#include "weir/task/use_task.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "loop.hpp"
#include "weir/task/scope.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

// An Asio operation that completes with what it is given, from the executor.
template <class Signature, class Token, class... Args>
auto async_answer(asio::any_io_executor where, Token&& token, Args... args) {
  return asio::async_initiate<Token, Signature>(
      [](auto handler, asio::any_io_executor e, auto... values) {
        asio::post(e, [h = std::move(handler), ... v = std::move(values)]() mutable {
          std::move(h)(std::move(v)...);
        });
      },
      token, std::move(where), std::move(args)...);
}

task<> wait_for(asio::steady_timer* timer) { co_await timer->async_wait(use_task); }

asio::awaitable<int> legacy(int value) {
  asio::steady_timer t(co_await asio::this_coro::executor, 1ms);
  co_await t.async_wait(asio::use_awaitable);
  co_return value;
}
asio::awaitable<void> legacy_failure() {
  throw std::runtime_error("legacy");
  co_return;
}

task<int> doubled(asio::io_context* context, int value) {
  asio::steady_timer t(*context, 1ms);
  co_await t.async_wait(use_task);
  co_return 2 * value;
}
task<> failing(asio::io_context* context) {
  asio::steady_timer t(*context, 1ms);
  co_await t.async_wait(use_task);
  throw std::runtime_error("from a task");
}

struct witness {
  explicit witness(int* n) : count(n) { ++*count; }
  witness(const witness&) = delete;
  witness& operator=(const witness&) = delete;
  ~witness() { --*count; }
  int* count;
};

}  // namespace

TEST_CASE("a task awaits an Asio timer") {
  test::loop l;
  const auto body = [](core* c) -> task<> {
    const auto before = std::chrono::steady_clock::now();
    asio::steady_timer t(c->context(), 20ms);
    co_await wait_for(&t);
    CHECK(std::chrono::steady_clock::now() - before >= 20ms);
    CHECK(core::current() == c);
  };
  l.run(body(&l.core()));
}

TEST_CASE("an error of an Asio operation is thrown") {
  test::loop l;
  const auto body = [](core* c) -> task<> {
    asio::ip::tcp::acceptor closed(c->context(),
                                   asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    const auto at = closed.local_endpoint();
    closed.close();
    asio::ip::tcp::socket s(c->context());
    co_await s.async_connect(at, use_task);
  };
  std::error_code error;
  l.run(test::error_of(body(&l.core()), &error));
  CHECK(error == std::errc::connection_refused);
}

TEST_CASE("what an Asio operation answers with is the result: a value, a tuple, nothing") {
  test::loop l;
  const auto body = [](core* c) -> task<> {
    const asio::any_io_executor e = c->context().get_executor();
    auto with_value =
        async_answer<void(error_code, std::string)>(e, use_task, error_code(), std::string("value"));
    const auto value = co_await with_value;
    CHECK(value == "value");
    auto with_both =
        async_answer<void(error_code, int, std::string)>(e, use_task, error_code(), 1, std::string("two"));
    const auto both = co_await with_both;
    CHECK(std::get<0>(both) == 1);
    CHECK(std::get<1>(both) == "two");
    const auto plain = co_await async_answer<void(int, int)>(e, use_task, 3, 4);
    CHECK(plain == std::tuple(3, 4));
    co_await async_answer<void()>(e, use_task);
    auto with_pointer = async_answer<void(std::exception_ptr, std::unique_ptr<int>)>(
        e, use_task, std::exception_ptr(), std::make_unique<int>(5));
    const auto pointer = co_await with_pointer;
    CHECK(*pointer == 5);
  };
  l.run(body(&l.core()));
}

TEST_CASE("an exception_ptr that an Asio operation answers with is thrown") {
  test::loop l;
  const auto body = [](core* c) -> task<> {
    const asio::any_io_executor e = c->context().get_executor();
    auto failing_one = async_answer<void(std::exception_ptr)>(
        e, use_task, std::make_exception_ptr(std::out_of_range("far")));
    co_await failing_one;
  };
  CHECK_THROWS_AS(l.run(body(&l.core())), std::out_of_range);
}

TEST_CASE("bytes go through an Asio socket in a task") {
  test::loop l;
  const auto body = [](core* c) -> task<> {
    asio::local::stream_protocol::socket a(c->context());
    asio::local::stream_protocol::socket b(c->context());
    asio::local::connect_pair(a, b);
    const std::size_t sent = co_await asio::async_write(a, asio::buffer("hello", 5), use_task);
    CHECK(sent == 5);
    char into[16];
    const std::size_t got = co_await b.async_read_some(asio::buffer(into), use_task);
    CHECK(std::string(into, got) == "hello");
  };
  l.run(body(&l.core()));
}

TEST_CASE("a task awaits an asio::awaitable, its value and its exception") {
  test::loop l;
  const auto body = []() -> task<> {
    const int value = co_await use_task(legacy(9));
    CHECK(value == 9);
    bool caught = false;
    try {
      co_await use_task(legacy_failure());
    } catch (const std::runtime_error& e) {
      caught = std::string(e.what()) == "legacy";
    }
    CHECK(caught);
  };
  l.run(body());
}

TEST_CASE("cancelling a task that awaits Asio cancels the operation, and its answer is thrown") {
  test::loop l;
  asio::steady_timer timer(l.core().context(), 1h);
  std::error_code error;
  test::root r(l.core(), test::error_of(wait_for(&timer), &error));
  l.run(test::rounds());
  REQUIRE(r.is_suspended());
  r.end_wait(ECANCELED);
  CHECK(r.is_suspended());  // until Asio has called back
  l.run(test::until([&] { return r.has_ended(); }));
  CHECK(error == std::errc::operation_canceled);
}

TEST_CASE("cancelling a task that awaits an asio::awaitable cancels that") {
  test::loop l;
  const auto forever = []() -> asio::awaitable<void> {
    asio::steady_timer t(co_await asio::this_coro::executor, 1h);
    co_await t.async_wait(asio::use_awaitable);
  };
  const auto body = [](const decltype(forever)* inner) -> task<> { co_await use_task((*inner)()); };
  std::error_code error;
  test::root r(l.core(), test::error_of(body(&forever), &error));
  l.run(test::rounds());
  REQUIRE(r.is_suspended());
  r.end_wait(ECANCELED);
  l.run(test::until([&] { return r.has_ended(); }));
  CHECK(error == std::errc::operation_canceled);
}

TEST_CASE("a task that is destroyed while it awaits Asio takes its operation along") {
  test::loop l;
  asio::steady_timer timer(l.core().context(), 1h);
  int alive = 0;
  const auto body = [](asio::steady_timer* t, int* count) -> task<> {
    const witness here(count);
    co_await t->async_wait(use_task);
  };
  {
    test::root r(l.core(), body(&timer, &alive));
    l.run(test::rounds());
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
  CHECK(timer.cancel() == 0);  // nobody waits any more
  l.run(test::rounds());
}

TEST_CASE("awaiting Asio in a task that runs on no core and in no executor is an error") {
  asio::io_context context;
  asio::steady_timer timer(context, 1h);
  test::stray l;
  auto t = wait_for(&timer);
  const auto frame = t.release_to(l);
  frame.resume();
  REQUIRE(frame.done());
  try {
    frame.promise().take();
    FAIL("no error");
  } catch (const std::system_error& e) {
    CHECK(e.code() == errc::not_on_a_core);
  }
  frame.destroy();
}

TEST_CASE("Asio code spawns a task: nothing, a value and an exception come back") {
  asio::io_context context;
  const auto quiet = [](asio::io_context* c, bool* ran) -> task<> {
    asio::steady_timer t(*c, 1ms);
    co_await t.async_wait(use_task);
    *ran = true;
  };
  bool ran = false;
  spawn(context.get_executor(), quiet(&context, &ran), asio::detached);
  int value = 0;
  spawn(context.get_executor(), doubled(&context, 21),
        [&](std::exception_ptr e, int v) { value = e ? -1 : v; });
  auto result = spawn(context.get_executor(), doubled(&context, 4), asio::use_future);
  auto failure = spawn(context.get_executor(), failing(&context), asio::use_future);
  CHECK_FALSE(ran);
  context.run_for(test::deadline);
  CHECK(ran);
  CHECK(value == 42);
  REQUIRE(result.wait_for(0s) == std::future_status::ready);
  CHECK(result.get() == 8);
  REQUIRE(failure.wait_for(0s) == std::future_status::ready);
  CHECK_THROWS_WITH(failure.get(), "from a task");
}

TEST_CASE("an asio::awaitable awaits a task") {
  asio::io_context context;
  const auto asio_side = [](asio::io_context* c) -> asio::awaitable<int> {
    co_return co_await spawn(c->get_executor(), doubled(c, 5), asio::use_awaitable);
  };
  auto result = asio::co_spawn(context, asio_side(&context), asio::use_future);
  context.run_for(test::deadline);
  REQUIRE(result.wait_for(0s) == std::future_status::ready);
  CHECK(result.get() == 10);
}

TEST_CASE("who spawns a task on another context gets the answer on the own one") {
  asio::io_context here;
  asio::io_context there;
  const auto work = asio::make_work_guard(there);
  std::jthread other([&] { there.run_for(test::deadline); });
  const auto where = []() -> task<std::thread::id> { co_return std::this_thread::get_id(); };
  std::thread::id task_on;
  std::thread::id answer_on;
  spawn(there.get_executor(), where(),
        asio::bind_executor(here.get_executor(), [&](std::exception_ptr, std::thread::id id) {
          task_on = id;
          answer_on = std::this_thread::get_id();
        }));
  here.run_for(test::deadline);
  CHECK(task_on == other.get_id());
  CHECK(answer_on == std::this_thread::get_id());
  there.stop();
}

TEST_CASE("a spawned task may await any number of ready tasks") {
  asio::io_context context;
  const auto one = []() -> task<int> { co_return 1; };
  const auto body = [](const decltype(one)* inner) -> task<int> {
    int sum = 0;
    for (int i = 0; i < 300'000; ++i) {
      const int next = co_await (*inner)();
      sum += next;
    }
    co_return sum;
  };
  auto result = spawn(context.get_executor(), body(&one), asio::use_future);
  context.run_for(test::deadline);
  REQUIRE(result.wait_for(0s) == std::future_status::ready);
  CHECK(result.get() == 300'000);
}

TEST_CASE(
    "a task that is spawned on a pool of threads runs on one at a time, and sees what its last turn wrote") {
  asio::thread_pool pool(4);
  // Not atomic: it is the strand that orders the turns, which the thread sanitizer checks.
  struct counters {
    int turns = 0;
    int by_children = 0;
  };
  const auto hop = [](asio::thread_pool* p, int* count, int times) -> task<> {
    for (int i = 0; i < times; ++i) {
      co_await asio::post(p->get_executor(), use_task);
      ++*count;
    }
  };
  const auto body = [](asio::thread_pool* p, counters* c, const decltype(hop)* each) -> task<int> {
    asio::steady_timer timer(p->get_executor());
    for (int i = 0; i < 500; ++i) {
      co_await asio::post(p->get_executor(), use_task);
      ++c->turns;
      timer.expires_after(0ms);
      co_await timer.async_wait(use_task);
      ++c->turns;
      co_await yield();
      ++c->turns;
    }
    scope s;
    for (int i = 0; i < 4; ++i) s.spawn((*each)(p, &c->by_children, 100));
    co_await s.join();
    co_return c->turns;
  };
  std::array<counters, 4> all;
  std::vector<std::future<int>> results;
  for (counters& each : all)
    results.push_back(weir::spawn(pool.get_executor(), body(&pool, &each, &hop), asio::use_future));
  for (auto& r : results) CHECK(r.get() == 1500);
  pool.join();
  for (const counters& each : all) CHECK(each.by_children == 400);
}
