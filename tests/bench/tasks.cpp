// What structure costs: awaits, children, channels and deadlines of weir beside asio::awaitable doing the
// same. Prints one JSON object: nanoseconds per step, the median of several rounds. tests/bench/tasks.py
// makes a table.
#include <algorithm>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/experimental/channel.hpp>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>
#include <weir/weir.hpp>

using namespace std::chrono_literals;

namespace {

constexpr int rounds = 7;

double median_of(const std::vector<double>& all) {
  std::vector<double> sorted = all;
  std::sort(sorted.begin(), sorted.end());
  return sorted[sorted.size() / 2];
}

class stopwatch {
 public:
  explicit stopwatch(int steps) : steps_(steps) {}
  ~stopwatch() = default;
  [[nodiscard]] double per_step() const {
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start_;
    return took.count() / steps_;
  }

 private:
  int steps_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// The same names in both, so that the rows stand beside each other.
namespace ours {

weir::task<int> ready() { co_return 1; }
weir::task<> nothing() { co_return; }
weir::task<> one_turn() { co_await weir::yield(); }

weir::task<> await_ready(int n) {
  for (int i = 0; i < n; ++i) co_await ready();
}

weir::task<> spawn_join(int n) {
  for (int i = 0; i < n; ++i) {
    weir::scope s;
    s.spawn(nothing());
    co_await s.join();
  }
}

weir::task<> send_all(weir::channel<int>* to, int n) {
  for (int i = 0; i < n; ++i) co_await to->send(i);
  to->close();
}

weir::task<> channel_hop(int n) {
  weir::channel<int> c(1);
  weir::scope s;
  s.spawn(send_all(&c, n));
  while (auto v = co_await c.receive()) static_cast<void>(v);
  co_await s.join();
}

weir::task<> cross_hop(weir::core_pool* cores, int n) {
  weir::core& home = weir::core::here();
  weir::core& other = (*cores)[1];
  for (int i = 0; i < n; ++i) {
    co_await weir::switch_to(other);
    co_await weir::switch_to(home);
  }
}

weir::task<> within_ready(int n) {
  for (int i = 0; i < n; ++i) co_await weir::within(1h, ready());
}

weir::task<> within_suspended(int n) {
  for (int i = 0; i < n; ++i) co_await weir::within(1h, one_turn());
}

weir::task<> measured(weir::task<> t, int n, double* out, weir::core_pool* cores) {
  const stopwatch watch(n);
  co_await t;
  *out = watch.per_step();
  cores->stop();
}

double run(const std::function<weir::task<>(weir::core_pool*)>& make, int n) {
  std::vector<double> all;
  for (int i = 0; i < rounds; ++i) {
    weir::core_pool cores({std::nullopt, std::nullopt}, weir::settings{});
    double ns = 0;
    cores[0].spawn(measured(make(&cores), n, &ns, &cores));
    cores.run();
    all.push_back(ns);
  }
  return median_of(all);
}

}  // namespace ours

namespace theirs {

using asio::awaitable;
using asio::use_awaitable;

awaitable<int> ready() { co_return 1; }
awaitable<void> nothing() { co_return; }
awaitable<void> one_turn() { co_await asio::post(co_await asio::this_coro::executor, use_awaitable); }

awaitable<void> await_ready(int n) {
  for (int i = 0; i < n; ++i) co_await ready();
}

awaitable<void> spawn_join(int n) {
  const auto here = co_await asio::this_coro::executor;
  for (int i = 0; i < n; ++i) co_await asio::co_spawn(here, nothing(), use_awaitable);
}

using channel = asio::experimental::channel<void(asio::error_code, int)>;

awaitable<void> send_all(channel* to, int n) {
  for (int i = 0; i < n; ++i) co_await to->async_send(asio::error_code(), i, use_awaitable);
}

awaitable<void> channel_hop(int n) {
  const auto here = co_await asio::this_coro::executor;
  channel c(here, 1);
  asio::co_spawn(here, send_all(&c, n), asio::detached);
  for (int i = 0; i < n; ++i) co_await c.async_receive(use_awaitable);
}

awaitable<void> cross_hop(asio::any_io_executor other, int n) {
  const auto home = co_await asio::this_coro::executor;
  for (int i = 0; i < n; ++i) {
    co_await asio::post(asio::bind_executor(other, use_awaitable));
    co_await asio::post(asio::bind_executor(home, use_awaitable));
  }
}

// The usual deadline: a timer that runs against the work.
template <class T>
awaitable<void> limited(awaitable<T> work) {
  using namespace asio::experimental::awaitable_operators;
  asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
  co_await (std::move(work) || timer.async_wait(use_awaitable));
}

awaitable<void> within_ready(int n) {
  for (int i = 0; i < n; ++i) co_await limited(ready());
}

awaitable<void> within_suspended(int n) {
  for (int i = 0; i < n; ++i) co_await limited(one_turn());
}

double run(const std::function<awaitable<void>(asio::any_io_executor)>& make, int n) {
  std::vector<double> all;
  for (int i = 0; i < rounds; ++i) {
    asio::io_context home(1);
    asio::io_context other(1);
    auto work = asio::make_work_guard(other);
    std::jthread beside([&other] { other.run(); });
    const stopwatch watch(n);
    asio::co_spawn(home, make(other.get_executor()), asio::detached);
    home.run();
    all.push_back(watch.per_step());
    other.stop();
  }
  return median_of(all);
}

}  // namespace theirs

}  // namespace

int main() {
  constexpr int many = 200'000;
  constexpr int some = 20'000;
  struct row {
    const char* name;
    double weir;
    double asio;
  };
  const row rows[] = {
      {"await of a ready task", ours::run([](auto*) { return ours::await_ready(many); }, many),
       theirs::run([](auto) { return theirs::await_ready(many); }, many)},
      {"spawn and join", ours::run([](auto*) { return ours::spawn_join(many); }, many),
       theirs::run([](auto) { return theirs::spawn_join(many); }, many)},
      {"channel hop on one core", ours::run([](auto*) { return ours::channel_hop(many); }, many),
       theirs::run([](auto) { return theirs::channel_hop(many); }, many)},
      {"to another core and back", ours::run([](auto* c) { return ours::cross_hop(c, some); }, some),
       theirs::run([](auto e) { return theirs::cross_hop(e, some); }, some)},
      {"within, ready", ours::run([](auto*) { return ours::within_ready(many); }, many),
       theirs::run([](auto) { return theirs::within_ready(some); }, some)},
      {"within, suspended", ours::run([](auto*) { return ours::within_suspended(many); }, many),
       theirs::run([](auto) { return theirs::within_suspended(some); }, some)},
  };
  std::printf("{");
  const char* comma = "";
  for (const row& r : rows) {
    std::printf("%s\"%s\": [%.1f, %.1f]", comma, r.name, r.weir, r.asio);
    comma = ", ";
  }
  std::printf("}\n");
}
