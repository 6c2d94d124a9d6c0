#include "weir/io/detail/completion_driver.hpp"

#include <catch2/catch.hpp>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "loop.hpp"
#include "weir/core/within.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

settings over_ring(std::uint32_t buffers = 128, std::uint32_t read_ahead = 8) {
  settings s;
  s.io = io_kind::io_uring;
  s.loop.ring_buffers = buffers;
  s.loop.read_ahead = read_ahead;
  return s;
}

bool has_no_ring() {
  const std::string why = io::completion_driver::why_not();
  if (!why.empty()) WARN("no io_uring here: " << why);
  return !why.empty();
}

task<> receive_all(connection* from, std::string* into) {
  while (const auto data = co_await from->receive()) into->append(data.text());
}

task<> echo_all(connection* c) {
  while (const auto data = co_await c->receive()) co_await c->send(data);
}

std::size_t unread(int fd) {
  int n = 0;
  ::ioctl(fd, FIONREAD, &n);
  return static_cast<std::size_t>(n);
}

// Until the end, or a reset.
std::string received_all(int fd) {
  std::string all;
  char part[65536];
  while (test::wait_readable(fd)) {
    const auto n = ::recv(fd, part, sizeof part, 0);
    if (n <= 0) break;
    all.append(part, static_cast<std::size_t>(n));
  }
  return all;
}

}  // namespace

TEST_CASE("over io_uring bytes and the end that come at once are both noticed, whenever they come") {
  if (has_no_ring()) return;
  test::loop l(over_ring());
  for (const int before : {0, 1, 4}) {
    for (int i = 0; i < 50; ++i) {
      test::half h(l, test::tcp_pair());
      std::string got;
      const auto peer = [](int fd, int rounds) -> task<> {
        co_await test::rounds(rounds);
        test::put(fd, "bytes");
        ::shutdown(fd, SHUT_WR);
      };
      l.run(receive_all(&h.here, &got), peer(h.there.get(), before));
      REQUIRE(got == "bytes");
      REQUIRE(h.here.end() == ending::peer_closed);
    }
  }
}

TEST_CASE("a handler that does not read is not read ahead beyond its bound, and nothing is lost") {
  if (has_no_ring()) return;
  settings s = over_ring(32, 2);
  s.loop.chunk_size = 4096;
  test::loop l(s);
  test::half h(l, test::tcp_pair());
  const std::string all = test::pattern(4 << 20);
  std::thread sender([fd = h.there.get(), &all] {
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
    for (std::size_t sent = 0; sent < all.size();) {
      const auto n = ::send(fd, all.data() + sent, all.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<std::size_t>(n);
    }
    ::shutdown(fd, SHUT_WR);
  });
  std::string got;
  const auto slow = [](connection* c, std::string* into) -> task<> {
    const auto first = co_await c->receive();
    into->append(first.text());
    // The peer fills what the kernel takes, and then stands still.
    std::size_t before = 1;
    for (std::size_t now = 0; now != before; co_await sleep_for(20ms)) {
      before = now;
      now = unread(c->native_handle());
    }
    CHECK(unread(c->native_handle()) > 16'000);
    co_await receive_all(c, into);
  };
  l.run(slow(&h.here, &got));
  sender.join();
  CHECK(got == all);
}

TEST_CASE("with fewer buffers than connections every byte arrives") {
  if (has_no_ring()) return;
  settings s = over_ring(8, 1);
  s.loop.chunk_size = 512;
  test::loop l(s);
  std::vector<test::half> halves;
  std::vector<std::string> got(40);
  const std::string all = test::pattern(20'000);
  for (std::size_t i = 0; i < got.size(); ++i) {
    halves.emplace_back(l);
    test::put(halves.back().there.get(), all);
    ::shutdown(halves.back().there.get(), SHUT_WR);
  }
  std::size_t left = got.size();
  const auto reader = [](connection* c, std::string* into, std::size_t* open) -> task<> {
    co_await receive_all(c, into);
    --*open;
  };
  for (std::size_t i = 0; i < got.size(); ++i) l.core().spawn(reader(&halves[i].here, &got[i], &left));
  l.run(test::until([&] { return left == 0; }));
  for (const std::string& each : got) REQUIRE(each == all);
}

TEST_CASE("the kernel does not use the memory of a send that was cancelled") {
  if (has_no_ring()) return;
  test::loop l(over_ring());
  test::half h(l, test::tcp_pair());
  bool ended = false;
  const auto send = [](connection* c, bool* done) -> task<> {
    const std::string much = test::pattern(8 << 20);  // gone when the send has ended
    auto all = [](connection* to, const std::string* text) -> task<> {
      static_cast<void>(co_await to->send(std::string_view(*text)));
    };
    task<> sending = all(c, &much);
    co_await within(20ms, std::move(sending));
    *done = true;
  };
  std::error_code error;
  l.run(test::error_of(send(&h.here, &ended), &error));
  h.here.close();
  const std::string got = received_all(h.there.get());
  CHECK(got == test::pattern(8 << 20).substr(0, got.size()));
}

TEST_CASE("a cancelled receive over io_uring leaves its bytes to the next one") {
  if (has_no_ring()) return;
  test::loop l(over_ring());
  test::half h(l);
  std::error_code error;
  std::string got;
  const auto once = [](connection* c, std::string* into) -> task<> {
    const auto data = co_await c->receive();
    into->append(data.text());
  };
  {
    test::root waiting(l.core(), test::error_of(once(&h.here, &got), &error));
    l.run(test::rounds());
    waiting.end_wait(ECANCELED);
    test::put(h.there.get(), "late");
    l.run(test::until([&] { return waiting.has_ended(); }));
  }
  CHECK(error == std::errc::operation_canceled);
  l.run(test::rounds());
  l.run(once(&h.here, &got));
  CHECK(got == "late");
}

TEST_CASE(
    "a descriptor that is closed in any state leaves nothing in flight, and its number serves the next one") {
  if (has_no_ring()) return;
  test::loop l(over_ring());
  const auto receive = [](connection* c) -> task<> { static_cast<void>(co_await c->receive()); };
  for (int i = 0; i < 300; ++i) {
    test::half h(l, test::tcp_pair());
    std::error_code error;
    test::root waiting(l.core(), test::error_of(i % 2 == 0 ? receive(&h.here) : echo_all(&h.here), &error));
    if (i % 3 == 0) l.run(test::rounds(1));
    if (i % 5 == 0) test::put(h.there.get(), "x");
    if (i % 7 == 0) l.run(test::rounds(2));
    i % 2 == 0 ? h.here.close() : h.here.abort();
    l.run(test::until([&] { return waiting.has_ended(); }));
  }
  test::half h(l, test::tcp_pair());
  test::put(h.there.get(), "its own bytes");
  ::shutdown(h.there.get(), SHUT_WR);
  std::string got;
  l.run(receive_all(&h.here, &got));
  CHECK(got == "its own bytes");
}

TEST_CASE("a socket that is given away leaves with every byte, read ahead or not") {
  for (const auto over : {io_kind::epoll, io_kind::io_uring}) {
    if (over == io_kind::io_uring && has_no_ring()) continue;
    settings s = over_ring();
    s.io = over;
    test::loop l(s);
    test::half h(l, test::tcp_pair());
    const std::string all = test::pattern(100'000);
    std::string got;
    unique_fd given;
    const auto give_away = [](connection c, int peer, const std::string* text, std::string* into,
                              unique_fd* out) -> task<> {
      std::string_view rest = *text;
      test::put(peer, rest.substr(0, 10));
      char few[4];
      const std::size_t n = co_await c.read_some(std::as_writable_bytes(std::span(few)));
      into->append(few, n);
      test::put(peer, rest.substr(10, 50'000));
      co_await test::rounds();
      test::put(peer, rest.substr(50'010));
      out->reset(c.release(*into));
      CHECK_FALSE(c.is_open());
      CHECK(c.release(*into) == -1);
    };
    l.run(give_away(std::move(h.here), h.there.get(), &all, &got, &given));
    h.there.reset();
    REQUIRE(given);
    ::fcntl(given.get(), F_SETFL, ::fcntl(given.get(), F_GETFL) & ~O_NONBLOCK);
    CHECK(got + received_all(given.get()) == all);
  }
}

TEST_CASE("a core over io_uring that runs on a second thread says so, and does not spin") {
  if (has_no_ring()) return;
  settings s;
  s.io = io_kind::io_uring;
  core c(0, std::nullopt, s);
  c.poll();
  int error = 0;
  std::thread([&] {
    try {
      c.run();
    } catch (const std::system_error& e) {
      error = e.code().value();
    }
  }).join();
  CHECK(error == EPERM);
}

TEST_CASE("a core over io_uring that is destroyed on another thread leaves the ring of that thread alone") {
  if (has_no_ring()) return;
  test::loop here(over_ring());
  test::half h(here);
  std::optional<test::loop> there;
  std::optional<test::half> waiting;
  const auto receive = [](connection* c) -> task<> { static_cast<void>(co_await c->receive()); };
  std::optional<test::root> left;
  std::thread([&] {
    there.emplace(over_ring());
    waiting.emplace(*there);
    left.emplace(there->core(), receive(&waiting->here));
    there->run(test::rounds());
  }).join();
  left.reset();
  waiting.reset();
  there.reset();
  test::put(h.there.get(), "still read");
  ::shutdown(h.there.get(), SHUT_WR);
  std::string got;
  here.run(receive_all(&h.here, &got));
  CHECK(got == "still read");
}

TEST_CASE(
    "a send over io_uring of which the socket takes a part waits for room, also where the peer sends no "
    "more") {
  if (has_no_ring()) return;
  test::loop l(over_ring());
  for (const bool half_closed : {false, true}) {
    test::half h(l, test::tcp_pair(4096));
    const std::string all = test::pattern(2 << 20);
    if (half_closed) ::shutdown(h.there.get(), SHUT_WR);
    const auto send = [](connection* c, const std::string* text) -> task<> {
      const std::span<const std::byte> bytes = std::as_bytes(std::span(*text));
      const bool sent = co_await c->send(bytes);
      CHECK(sent);
      c->shutdown_send();
    };
    const auto take = [](int fd, std::string* into) -> task<> {
      char part[65536];
      for (std::ptrdiff_t n = 1; n != 0; co_await yield()) {
        n = ::recv(fd, part, sizeof part, MSG_DONTWAIT);
        if (n > 0) into->append(part, static_cast<std::size_t>(n));
      }
    };
    std::string got;
    l.run(send(&h.here, &all), take(h.there.get(), &got));
    CHECK(got == all);
  }
}

TEST_CASE("chunks that handlers keep and those that come back at once take turns as buffers of the kernel") {
  if (has_no_ring()) return;
  settings s = over_ring(4, 2);
  s.loop.chunk_size = 512;
  test::loop l(s);
  std::vector<test::half> halves;
  for (int i = 0; i < 6; ++i) halves.emplace_back(l, test::tcp_pair());
  const std::string all = test::pattern(60'000);
  std::vector<std::string> got(halves.size());
  // Each keeps the last few chunks, as many as its number says, and gives back the oldest.
  const auto keep = [](connection* c, std::size_t most, std::string* into) -> task<> {
    std::deque<chunk> kept;
    while (auto data = co_await c->receive()) {
      kept.push_back(std::move(data));
      if (kept.size() <= most) continue;
      into->append(kept.front().text());
      kept.pop_front();
    }
    for (const chunk& each : kept) into->append(each.text());
  };
  const auto feed = [](std::vector<test::half>* to, const std::string* text) -> task<> {
    std::string_view rest = *text;
    for (std::size_t i = 0; !rest.empty(); ++i) {
      const std::size_t n = std::min<std::size_t>(rest.size(), 1 + i * 37 % 700);
      for (test::half& each : *to) test::put(each.there.get(), rest.substr(0, n));
      rest.remove_prefix(n);
      if (i % 3 != 0) co_await test::rounds(1);
    }
    for (test::half& each : *to) ::shutdown(each.there.get(), SHUT_WR);
  };
  for (std::size_t i = 0; i < halves.size(); ++i) l.core().spawn(keep(&halves[i].here, i, &got[i]));
  l.run(feed(&halves, &all), test::until([&] {
          return std::ranges::all_of(got, [&](const std::string& each) { return each.size() == all.size(); });
        }));
  for (const std::string& each : got) REQUIRE(each == all);
}

TEST_CASE("a stop over io_uring takes nothing out of its order") {
  if (has_no_ring()) return;
  for (int after = 0; after < 4; ++after) {
    test::loop l(over_ring());
    test::half h(l, test::tcp_pair());
    std::string got;
    const auto peer = [](test::half* to, int rounds) -> task<> {
      for (int i = 0; i < 3; ++i) {  // from the second on nothing is asked for
        test::put(to->there.get(), "before ");
        co_await test::rounds();
      }
      test::put(to->there.get(), "at the stop ");
      co_await test::rounds(rounds);
      to->here.state().stop();
      test::put(to->there.get(), "and after");
    };
    l.run(receive_all(&h.here, &got), peer(&h, after));
    const std::string all = "before before before at the stop and after";
    CHECK(all.starts_with(got));
    CHECK(got.size() >= std::string_view("before before before at the stop ").size());
    CHECK(h.here.end() == ending::stopping);
  }
}

TEST_CASE("descriptors with large numbers are served over io_uring, and those that use a number again") {
  if (has_no_ring()) return;
  test::loop l(over_ring());
  std::vector<unique_fd> taken;
  for (int i = 0; i < 300; ++i) taken.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (int i = 0; i < 3; ++i) {
    std::vector<test::half> halves;
    std::vector<std::string> got(50);
    for (std::size_t k = 0; k < got.size(); ++k) halves.emplace_back(l);
    for (test::half& each : halves) {
      test::put(each.there.get(), "here");
      ::shutdown(each.there.get(), SHUT_WR);
    }
    std::size_t left = got.size();
    const auto read = [](connection* c, std::string* into, std::size_t* open) -> task<> {
      co_await receive_all(c, into);
      --*open;
    };
    for (std::size_t k = 0; k < got.size(); ++k) l.core().spawn(read(&halves[k].here, &got[k], &left));
    l.run(test::until([&] { return left == 0; }));
    for (const std::string& each : got) REQUIRE(each == "here");
    taken.resize(taken.size() - 100);
  }
}
