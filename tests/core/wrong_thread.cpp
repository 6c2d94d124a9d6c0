// For a test: what belongs to a core is used from another thread while the core runs. The argument names
// what.
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <thread>

#include "weir/base/detail/build.hpp"
#include "weir/connection/connection_pair.hpp"
#include "weir/connection/detail/connection_table.hpp"
#include "weir/core/core.hpp"
#include "weir/core/sleep.hpp"
#include "weir/task/channel.hpp"
#include "weir/task/event.hpp"
#include "weir/task/scope.hpp"
#include "weir/task/semaphore.hpp"

namespace {

// What belongs to the core, and is made and waited for there.
struct belongings {
  weir::event event;
  weir::semaphore semaphore{0};
  weir::channel<int> channel{1};
  weir::io::timer timer;
  std::optional<weir::connection_pair> ends;
  weir::chunk chunk;
  weir::chain* waiting = nullptr;
  std::optional<weir::scope> scope;
};

struct this_chain {
  bool await_ready() const noexcept { return false; }
  template <weir::task_promise P>
  bool await_suspend(std::coroutine_handle<P> h) noexcept {
    root = h.promise().root;
    return false;
  }
  weir::chain* await_resume() const noexcept { return root; }
  weir::chain* root = nullptr;
};

weir::task<> wait_for_event(belongings* b) {
  this_chain here;
  b->waiting = co_await here;
  co_await b->event.wait();
}
weir::task<> wait_for_permit(belongings* b) { co_await b->semaphore.acquire(); }
weir::task<> wait_for_value(belongings* b) { static_cast<void>(co_await b->channel.receive()); }
weir::task<> nothing() { co_return; }

weir::task<> hold_all(belongings* b, std::atomic<bool>* ready) {
  b->scope.emplace();
  b->scope->spawn(wait_for_event(b));
  b->scope->spawn(wait_for_permit(b));
  b->scope->spawn(wait_for_value(b));
  b->ends.emplace();
  co_await b->ends->client.send("text");
  auto data = co_await b->ends->server.receive();
  b->chunk = std::move(data);
  weir::core::here().timers().arm(b->timer, std::chrono::hours(1));
  for (int i = 0; i < 8; ++i) co_await weir::yield();
  *ready = true;
  co_await weir::sleep_for(std::chrono::hours(1));
}

}  // namespace

int main(int, char** argv) {
  std::signal(SIGABRT, [](int) { std::_Exit(3); });
  const std::string_view what = argv[1];
  if (!weir::build::checks) {
    std::puts("this build checks no threads");
    return 0;
  }
  static weir::core c(0, std::nullopt, {});
  static belongings b;
  std::atomic<bool> ready{false};
  c.spawn(hold_all(&b, &ready));
  std::thread([] { c.run(); }).detach();
  while (!ready) std::this_thread::yield();
  int value = 1;
  if (what == "core::spawn") c.spawn(nothing());
  if (what == "core::local") static_cast<void>(c.local<weir::connection_table>());
  if (what == "core::count_requests") c.count_requests();
  if (what == "scope::spawn") b.scope->spawn(nothing());
  if (what == "scope::cancel") b.scope->cancel();
  if (what == "scope") b.scope.reset();
  if (what == "event::set") b.event.set();
  if (what == "semaphore::release") b.semaphore.release();
  if (what == "channel::try_send") static_cast<void>(b.channel.try_send(value));
  if (what == "timer") c.timers().disarm(b.timer);
  if (what == "chunk") static_cast<void>(weir::chunk(std::move(b.chunk)));
  if (what == "schedule") b.waiting->schedule();
  if (what == "end_wait") b.waiting->end_wait(ECANCELED);
  if (what == "send") static_cast<void>(b.ends->client.send("x").await_ready());
  std::puts("nothing was noticed");
  std::fflush(stdout);
  std::_Exit(1);
}
