#include "weir/connection/detail/operations.hpp"

#include <sys/mman.h>

#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "loop.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

task<> gather(connection* c, const std::vector<std::string_view>* pieces, bool* sent) {
  *sent = co_await c->send(*pieces);
  c->shutdown_send();
}

task<> send_file(connection* c, int file, off_t offset, std::size_t count, bool* sent) {
  *sent = co_await c->send_file(file, offset, count);
  c->shutdown_send();
}

task<> receive_all(connection* c, std::string* out) {
  while (auto data = co_await c->receive()) *out += data.text();
}

unique_fd file_with(std::string_view text) {
  unique_fd file(::memfd_create("file", MFD_CLOEXEC));
  while (!text.empty()) {
    const auto n = ::write(file.get(), text.data(), text.size());
    REQUIRE(n > 0);
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return file;
}

// How many reads a message-preserving socket takes: one for each system call at the other end.
std::vector<std::string> packets(int fd) {
  std::vector<std::string> out;
  char part[65536];
  for (;;) {
    const auto n = ::recv(fd, part, sizeof part, MSG_DONTWAIT);
    if (n <= 0) return out;
    out.emplace_back(part, static_cast<std::size_t>(n));
  }
}

}  // namespace

static_assert(std::is_trivially_destructible_v<detail::receive_operation> &&
              std::is_trivially_destructible_v<detail::read_exactly_operation> &&
              std::is_trivially_destructible_v<detail::send_operation> &&
              std::is_trivially_destructible_v<detail::gather_operation> &&
              std::is_trivially_destructible_v<detail::send_file_operation>);

TEST_CASE("gathered pieces leave with one system call") {
  test::loop l;
  test::half h(l, test::unix_pair(SOCK_SEQPACKET));
  const std::vector<std::string_view> pieces{"HTTP/1.1 200 OK\r\n", "", "\r\n", "body"};
  bool sent = false;
  l.run(gather(&h.here, &pieces, &sent));
  CHECK(sent);
  CHECK(packets(h.there.get()) == std::vector<std::string>{"HTTP/1.1 200 OK\r\n\r\nbody"});
}

TEST_CASE("any number of pieces is sent in order, empty ones among them") {
  test::loop l;
  const auto text = test::pattern(4096);
  for (const std::size_t count : {0U, 1U, 63U, 64U, 65U, 128U, 129U, 1000U}) {
    for (const int empty : {0, 1, 2}) {  // none, every third, all
      CAPTURE(count, empty);
      test::half h(l);
      std::vector<std::string_view> pieces;
      std::string expected;
      for (std::size_t i = 0; i < count; ++i) {
        const bool is_empty = empty == 2 || (empty == 1 && i % 3 == 0);
        pieces.push_back(is_empty ? std::string_view() : std::string_view(text).substr(i, 1 + i % 7));
        expected += pieces.back();
      }
      bool sent = false;
      l.run(gather(&h.here, &pieces, &sent));
      CHECK(sent);
      CHECK(test::drained(h.there.get()) == expected);
    }
  }
}

TEST_CASE("pieces that do not fit the send buffer are continued where they stopped") {
  test::loop l;
  test::whole w(l, test::tcp_pair(4096));
  const auto text = test::pattern(3'000'000);
  std::vector<std::string_view> pieces;
  for (std::size_t at = 0, size = 1; at < text.size(); at += size, size = size * 5 % 10'007 + 1)
    pieces.push_back(std::string_view(text).substr(at, size));
  REQUIRE(pieces.size() > 64);
  bool sent = false;
  std::string got;
  l.run(gather(&w.a, &pieces, &sent), receive_all(&w.b, &got));
  CHECK(sent);
  CHECK(got == text);
}

TEST_CASE("a file is sent from an offset, and no further than was asked for") {
  test::loop l;
  test::half h(l);
  const auto file = file_with("0123456789");
  bool sent = false;
  l.run(send_file(&h.here, file.get(), 2, 5, &sent));
  CHECK(sent);
  CHECK(test::drained(h.there.get()) == "23456");
}

TEST_CASE("a big file goes through a small send buffer to a slow reader, whole") {
  test::loop l;
  test::whole w(l, test::tcp_pair(8192));
  const auto text = test::pattern(4'000'000);
  const auto file = file_with(text);
  bool sent = false;
  std::string got;
  l.run(send_file(&w.a, file.get(), 0, text.size(), &sent), receive_all(&w.b, &got));
  CHECK(sent);
  CHECK(got == text);
}

TEST_CASE("a file that is shorter than was promised is an error") {
  test::loop l;
  test::half h(l);
  const auto file = file_with("0123456789");
  bool sent = false;
  std::error_code error;
  l.run(test::error_of(send_file(&h.here, file.get(), 8, 5, &sent), &error));
  CHECK(error.value() == ENODATA);
  CHECK(test::drained(h.there.get()) == "89");
}

TEST_CASE("a file that cannot be sent is an error, and not the peer's fault") {
  test::loop l;
  test::half h(l);
  bool sent = false;
  std::error_code error;
  l.run(test::error_of(send_file(&h.here, -1, 0, 1, &sent), &error));
  CHECK(error == std::errc::bad_file_descriptor);

  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  const unique_fd out(ends[0]);
  const unique_fd in(ends[1]);
  error = {};
  l.run(test::error_of(send_file(&h.here, out.get(), 0, 1, &sent), &error));
  CHECK(error == std::errc::invalid_seek);

  const unique_fd directory(::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  error = {};
  l.run(test::error_of(send_file(&h.here, directory.get(), 0, 1, &sent), &error));
  CHECK(error);
}

TEST_CASE("a peer that is gone ends every kind of send as a value") {
  test::loop l;
  const auto file = file_with(test::pattern(100'000));
  const auto text = test::pattern(100'000);
  const std::vector<std::string_view> pieces{text, text};
  for (const int way : {0, 1, 2, 3}) {
    const bool files = way % 2 == 1;
    test::half h(l, way < 2 ? test::tcp_pair() : test::unix_pair());
    h.there.reset();
    bool sent = true;
    const auto body = [](connection* c, int fd, const std::vector<std::string_view>* list,
                         bool* result) -> task<> {
      for (int i = 0; i < 100 && *result; ++i) {  // the first RST is still on its way
        if (fd >= 0)
          *result = co_await c->send_file(fd, 0, 100'000);
        else
          *result = co_await c->send(*list);
      }
    };
    l.run(body(&h.here, files ? file.get() : -1, &pieces, &sent));
    CHECK_FALSE(sent);
  }
}

TEST_CASE("an operation that finds its bytes there does not suspend", "[epoll]") {
  test::loop l(test::over_epoll);
  test::half h(l);
  test::put(h.there.get(), "abc");
  std::vector<int> order;
  const auto body = [](connection* c, std::vector<int>* out) -> task<> {
    const auto data = co_await c->receive();
    CHECK(data.text() == "abc");
    co_await c->send(data);
    out->push_back(1);
  };
  const auto other = [](std::vector<int>* out) -> task<> {
    out->push_back(2);
    co_return;
  };
  l.run(body(&h.here, &order), other(&order));
  CHECK(order == std::vector{1, 2});
}

TEST_CASE("an error that is no end names the operation and the peer") {
  test::loop l;
  test::half h(l);
  const auto body = [](connection* c) -> task<> { co_await c->send_file(-1, 0, 1); };
  CHECK_THROWS_WITH(l.run(body(&h.here)), Catch::Contains("send " + h.here.peer().to_string()));
}
