#pragma once
// tests: every way in which a coroutine of weir may wait, for something that never comes.

#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <future>
#include <string>
#include <string_view>
#include <vector>

#include "alive.hpp"
#include "sockets.hpp"
#include "weir/accept/detail/accept_operation.hpp"
#include "weir/connection/connect.hpp"
#include "weir/connection/connection_pair.hpp"
#include "weir/connection/reader.hpp"
#include "weir/connection/writer.hpp"
#include "weir/core/cross_channel.hpp"
#include "weir/core/offload.hpp"
#include "weir/core/within.hpp"
#include "weir/listen/detail/bound_socket.hpp"
#include "weir/task/channel.hpp"
#include "weir/task/scope.hpp"
#include "weir/task/semaphore.hpp"
#include "weir/task/use_task.hpp"
#include "weir/task/when.hpp"

namespace test {

using namespace std::chrono_literals;

// What is waited for. Outlives those who wait.
struct nothing {
  nothing() {
    int value = 0;
    static_cast<void>(full.try_send(value));
    static_cast<void>(cross_full.try_send(value));
    // A queue with room for one, which is taken: whoever connects now waits for an answer.
    ::listen(crowded.get(), 0);
    for (auto& c : crowd) c = client(crowded.local());
    REQUIRE(::ftruncate(file.get(), file_size) == 0);
  }

  int living = 0;  // frames
  const std::string much = pattern(65536);
  static constexpr off_t file_size = 1 << 20;
  weir::unique_fd file{::memfd_create("much", MFD_CLOEXEC)};
  weir::event event;
  weir::semaphore semaphore{0};
  weir::channel<int> empty{1};
  weir::channel<int> full{1};
  weir::cross_channel<int> cross_empty{1};
  weir::cross_channel<int> cross_full{1};
  weir::bound_socket lonely = weir::bound_socket::bind(weir::endpoint::parse("127.0.0.1:0"), {});
  weir::bound_socket crowded = weir::bound_socket::bind(weir::endpoint::parse("127.0.0.1:0"), {});
  std::array<client, 1> crowd;
  weir::permit_pool permit_pool{1'000'000};
  std::promise<void> release;  // of the threads that work beside the core
  std::shared_future<void> released = release.get_future();
};

// A pair of which the first byte that is sent fills a good part of what fits between them.
struct narrow_pair : weir::connection_pair {
  narrow_pair() {
    const int little = 4096;
    ::setsockopt(server.native_handle(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
  }
};

struct wait {
  const char* name;
  weir::task<> (*begin)(nothing*);
};

inline asio::awaitable<void> sleep_in_asio(nothing* n) {
  const alive here(&n->living);
  asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
  co_await timer.async_wait(asio::use_awaitable);
}

inline const std::vector<wait> waits = {
    {"receive",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       weir::connection_pair ends;
       static_cast<void>(co_await ends.server.receive());
     }},
    {"read_some",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       weir::connection_pair ends;
       std::array<std::byte, 4> into;
       co_await ends.server.read_some(into);
     }},
    {"read_exactly",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       weir::connection_pair ends;
       std::array<std::byte, 4> into;
       co_await ends.client.send("abc");
       co_await ends.server.read_exactly(into);
     }},
    {"reader.until",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       weir::connection_pair ends;
       weir::reader in(ends.server);
       co_await ends.client.send("abc");
       co_await in.until("\n");
     }},
    {"reader.exactly",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       weir::connection_pair ends;
       weir::reader in(ends.server);
       co_await in.exactly(4);
     }},
    {"send",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       narrow_pair ends;
       co_await ends.server.send(n->much);
     }},
    {"send of pieces",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       narrow_pair ends;
       const std::array<std::string_view, 2> pieces{n->much, n->much};
       co_await ends.server.send(pieces);
     }},
    {"send_file",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       narrow_pair ends;
       co_await ends.server.send_file(n->file.get(), 0, n->file_size);
     }},
    {"writer.flush",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       narrow_pair ends;
       weir::writer out(ends.server);
       out.write(n->much);
       co_await out.flush();
     }},
    {"stopping",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       weir::connection_pair ends;
       co_await ends.server.stopping();
     }},
    {"connect",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       const weir::connection c = co_await weir::connect(n->crowded.local());
     }},
    {"accept",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       const weir::unique_fd copy(::fcntl(n->lonely.get(), F_DUPFD_CLOEXEC, 0));
       weir::io::driver& driver = weir::core::here().driver();
       weir::listening_descriptor listener(driver, copy.get());
       const weir::detail::accept_outcome outcome =
           co_await weir::detail::accept_operation(listener, n->permit_pool);
       driver.forget(listener);
       if (outcome.error == ECANCELED) throw std::system_error(cancelled());
     }},
    {"sleep_for", [](nothing* n) { return sleep_long(&n->living); }},
    {"event",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       co_await n->event.wait();
     }},
    {"semaphore",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       co_await n->semaphore.acquire();
     }},
    {"channel.receive",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       co_await n->empty.receive();
     }},
    {"channel.send",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       int value = 1;
       co_await n->full.send(value);
     }},
    {"cross_channel.receive",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       co_await n->cross_empty.receive();
     }},
    {"cross_channel.send",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       int value = 1;
       co_await n->cross_full.send(value);
     }},
    {"offload",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       auto work = weir::offload([f = n->released] { f.wait(); });
       co_await work;
     }},
    {"within",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       auto work = weir::within(1h, sleep_long(&n->living));
       co_await work;
     }},
    {"scope.join",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       weir::scope s;
       s.spawn(sleep_long(&n->living));
       s.spawn(sleep_long(&n->living));
       co_await s.join();
     }},
    {"when_all",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       auto both = weir::when_all(sleep_long(&n->living), sleep_long(&n->living));
       co_await both;
     }},
    {"when_any",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       auto both = weir::when_any(sleep_long(&n->living), sleep_long(&n->living));
       co_await both;
     }},
    {"a timer of Asio",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       asio::steady_timer timer(weir::core::here().context(), 1h);
       auto wait = timer.async_wait(weir::use_task);
       co_await wait;
     }},
    {"an awaitable of Asio",
     [](nothing* n) -> weir::task<> {
       const alive here(&n->living);
       auto wait = weir::use_task(sleep_in_asio(n));
       co_await wait;
     }},
};

}  // namespace test
