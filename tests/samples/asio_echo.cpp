// For tests: an echo server as Asio's users write it. Nothing but main knows of weir.
#include <weir/weir.hpp>

namespace {

asio::awaitable<void> echo(asio::ip::tcp::socket socket) {
  char data[1024];
  for (;;) {
    const std::size_t n = co_await socket.async_read_some(asio::buffer(data), asio::use_awaitable);
    co_await asio::async_write(socket, asio::buffer(data, n), asio::use_awaitable);
  }
}

// The end of the stream is an exception in Asio; here it is the end.
asio::awaitable<void> serve(asio::ip::tcp::socket socket) {
  try {
    co_await echo(std::move(socket));
  } catch (const std::system_error& e) {
    if (e.code() != asio::error::eof) throw;
  }
}

}  // namespace

int main(int argc, char** argv) { return weir::run(argc, argv, weir::asio_handler(serve)); }
