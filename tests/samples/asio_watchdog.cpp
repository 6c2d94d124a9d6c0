// For tests: an echo server with a watchdog as Asio's users write it: who says nothing for 300 ms is told,
// and cut. Two coroutines race; the first to end closes the socket, which ends the other.
#include <chrono>
#include <memory>

#include <weir/weir.hpp>

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

struct guarded {
  explicit guarded(asio::ip::tcp::socket s) : socket(std::move(s)), timer(socket.get_executor()) {}
  asio::ip::tcp::socket socket;
  asio::steady_timer timer;
  clock_type::time_point deadline = clock_type::now() + 300ms;
};

asio::awaitable<void> watch(std::shared_ptr<guarded> g) {  // shared with the reader, as Asio's users do
  while (g->socket.is_open() && g->deadline > clock_type::now()) {
    g->timer.expires_at(g->deadline);
    asio::error_code woken;
    co_await g->timer.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  }
  if (!g->socket.is_open()) co_return;
  asio::error_code ignored;
  co_await asio::async_write(g->socket, asio::buffer("too slow\n", 9),
                             asio::redirect_error(asio::use_awaitable, ignored));
  g->socket.close(ignored);
}

asio::awaitable<void> echo(asio::ip::tcp::socket socket) {
  const auto g = std::make_shared<guarded>(std::move(socket));
  asio::co_spawn(co_await asio::this_coro::executor, watch(g), asio::detached);
  char data[1024];
  asio::error_code error;
  while (!error) {
    const std::size_t n = co_await g->socket.async_read_some(
        asio::buffer(data), asio::redirect_error(asio::use_awaitable, error));
    g->deadline = clock_type::now() + 300ms;
    if (!error)
      co_await asio::async_write(g->socket, asio::buffer(data, n),
                                 asio::redirect_error(asio::use_awaitable, error));
  }
  g->socket.close(error);
  g->timer.cancel();
}

}  // namespace

int main(int argc, char** argv) { return weir::run(argc, argv, weir::asio_handler(echo)); }
