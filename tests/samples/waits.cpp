// A server for the tests of --dump. A line says what the handler then waits for, for as long as its client is
// there.
#include <fcntl.h>
#include <netdb.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <deque>
#include <string>
#include <system_error>
#include <weir/connection/connection_pair.hpp>
#include <weir/weir.hpp>

namespace waits {
namespace {

constexpr std::chrono::hours long_time(1);

weir::task<> innermost() { co_await weir::sleep_for(long_time); }
weir::task<int> middle() {
  const int answer = 1;
  co_await innermost();
  co_return answer;
}

weir::task<> first_child() { co_await weir::sleep_for(long_time); }
weir::task<> second_child(weir::event* never) { co_await never->wait(); }

weir::task<> leave_children() {
  weir::event never;
  weir::scope one;
  weir::scope another;
  one.spawn(first_child());
  another.spawn(second_child(&never));
  co_await never.wait();
}

weir::task<> join_children() {
  weir::event never;
  weir::scope both;
  both.spawn(first_child());
  both.spawn(second_child(&never));
  co_await both.join();
}

[[gnu::noinline]] void block_until(const std::string& file) {
  while (::access(file.c_str(), F_OK) != 0) ::usleep(10'000);
}

constexpr int each_kind = 1000;
constexpr int sends = 100;  // the kernel keeps what each of them has sent

// The file until which names are not found, jobs do not end and the other loop is held.
std::string go_on;

weir::task<> many_sleep() { co_await weir::sleep_for(long_time); }
weir::task<> many_event(weir::event* never) { co_await never->wait(); }
weir::task<> many_semaphore(weir::semaphore* none) { co_await none->acquire(); }
weir::task<> many_channel(weir::channel<int>* empty) { co_await empty->receive(); }
weir::task<> many_asio() {
  asio::steady_timer timer(weir::core::here().context(), long_time);
  co_await timer.async_wait(weir::use_task);
}

weir::task<> many_resolve() {
  asio::ip::tcp::resolver names(weir::core::here().context());
  try {
    auto looks = names.async_resolve("silent.invalid", "1", weir::use_task);
    const auto found = co_await looks;
  } catch (const std::system_error&) {  // in the end there is none
  }
}
weir::task<> many_offload() {
  auto job = [] { block_until(go_on); };
  auto work = weir::offload(std::move(job));
  co_await work;
}
weir::task<> many_join() {
  weir::scope one;
  one.spawn(many_sleep());
  co_await one.join();
}
weir::task<> many_switch(weir::core* to, weir::core* back) {
  co_await weir::switch_to(*to);
  co_await weir::switch_to(*back);
}
weir::task<> many_receive(weir::connection* from) { const auto data = co_await from->receive(); }
weir::task<> many_send(weir::connection* to, const std::string* much) {
  static_cast<void>(co_await to->send(*much));
}

weir::task<> many_children() {
  weir::core& here = weir::core::here();
  weir::core& other = (*here.pool())[1 - here.index()];
  std::atomic<bool> held{false};
  other.post([&held] {
    held = true;
    block_until(go_on);
  });
  while (!held) co_await weir::sleep_for(std::chrono::milliseconds(1));
  weir::event never;
  weir::semaphore none(0);
  weir::channel<int> empty(1);
  const std::string much(1U << 20U, 'x');
  std::deque<weir::connection_pair> pairs;
  weir::scope all;
  for (int i = 0; i < each_kind; ++i) {
    weir::connection_pair& pair = pairs.emplace_back();
    all.spawn(many_receive(&pair.client));
    if (i < sends) all.spawn(many_send(&pair.client, &much));
    all.spawn(many_resolve());
    all.spawn(many_offload());
    all.spawn(many_join());
    all.spawn(many_switch(&other, &here));
    all.spawn(many_sleep());
    all.spawn(many_event(&never));
    all.spawn(many_semaphore(&none));
    all.spawn(many_channel(&empty));
    all.spawn(many_asio());
  }
  co_await all.join();
}

weir::task<> use_asio() {
  asio::steady_timer timer(weir::core::here().context(), long_time);
  co_await timer.async_wait(weir::use_task);
}

[[gnu::noinline]] void spin_in_the_handler(const std::string& until) {
  const weir::unique_fd begun(::open((until + ".held").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  volatile std::uint64_t turns = 0;
  do
    for (int i = 0; i < 10'000'000; ++i) turns = turns + 1;
  while (::access(until.c_str(), F_OK) != 0);
}

weir::task<> wait_for(std::string what, std::string with, weir::connection* client) {
  if (what == "sleep") co_await middle();
  if (what == "join") co_await join_children();
  if (what == "leave") co_await leave_children();
  if (what == "asio") co_await use_asio();
  if (what == "many") {
    go_on = with;
    co_await many_children();
  }
  if (what == "receive") co_await client->receive();
  if (what == "spin") spin_in_the_handler(with);
  if (what == "event") {
    weir::event never;
    co_await never.wait();
  }
  if (what == "semaphore") {
    weir::semaphore none(0);
    co_await none.acquire();
  }
  if (what == "channel") {
    weir::channel<int> empty(1);
    co_await empty.receive();
  }
  if (what == "send") {
    const std::string much(64U << 20U, 'x');
    static_cast<void>(co_await client->send(much));
  }
  if (what == "offload") {
    auto job = [with] { block_until(with); };
    auto work = weir::offload(std::move(job));
    co_await work;
  }
}

weir::task<> serve(weir::connection client) {
  weir::reader in(client);
  const auto line = co_await in.until("\n");
  if (!line) co_return;
  const std::string text(*line);
  const auto space = std::min(text.find(' '), text.size());
  const std::string what = text.substr(0, space);
  const std::string with = text.substr(std::min(space + 1, text.size()));
  co_await wait_for(what, with, &client);
  static_cast<void>(co_await client.send("done\n"));
}

}  // namespace
}  // namespace waits

// In place of the C library's: no other name is looked up here.
extern "C" int getaddrinfo(const char* /*node*/, const char* /*service*/, const addrinfo* /*hints*/,
                           addrinfo** /*result*/) {
  waits::block_until(waits::go_on);
  return EAI_NONAME;
}

int main(int argc, char** argv) { return weir::run(argc, argv, waits::serve); }
