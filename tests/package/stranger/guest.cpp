// Asio's operations beside weir's: what Asio compiles into the library and what a program compiles must fit
// together.
#include <chrono>
#include <exception>
#include <string>

#include <weir/weir.hpp>

using namespace std::chrono_literals;

namespace {

asio::awaitable<int> legacy() {
  asio::steady_timer timer(co_await asio::this_coro::executor, 1ms);
  co_await timer.async_wait(asio::use_awaitable);
  co_return 1;
}

asio::awaitable<void> echo(asio::ip::tcp::socket socket) {
  char bytes[64];
  const std::size_t n = co_await socket.async_read_some(asio::buffer(bytes), asio::use_awaitable);
  co_await asio::async_write(socket, asio::buffer(bytes, n), asio::use_awaitable);
}

weir::task<> visit(asio::ip::tcp::endpoint at, bool* answered) {
  asio::io_context& io = weir::core::here().context();
  asio::ip::tcp::socket socket(io);
  co_await socket.async_connect(at, weir::use_task);
  const std::string sent = "hello";
  std::string received(sent.size(), '\0');
  co_await asio::async_write(socket, asio::buffer(sent), weir::use_task);
  co_await asio::async_read(socket, asio::buffer(received), weir::use_task);

  asio::ip::tcp::resolver resolver(io);
  const auto found = co_await resolver.async_resolve("127.0.0.1", "80", weir::use_task);
  asio::thread_pool pool(1);
  co_await asio::post(pool, weir::use_task);
  asio::awaitable<int> other = legacy();
  const int one = co_await weir::use_task(std::move(other));
  *answered = received == sent && found.size() == 1 && one == 1;
}

}  // namespace

int main() {
  weir::settings settings;
  settings.listen = {"127.0.0.1:0"};
  settings.model = weir::model_kind::single_loop;
  weir::server server(settings, weir::asio_handler(echo));
  const asio::ip::tcp::endpoint at(asio::ip::make_address("127.0.0.1"), server.addresses().front().port());
  bool answered = false;
  weir::spawn(server.cores()[0].context().get_executor(), visit(at, &answered),
              [&](std::exception_ptr error) {
                if (error) answered = false;
                server.stop();
              });
  server.run();
  return answered ? 0 : 1;
}
