// The echo benchmark's peer on Asio's own coroutines, as well as they can be used: one thread promised to
// the io_context, and the executor's type spelled out so that nothing is erased.
#include <array>
#include <asio.hpp>
#include <cstdio>
#include <cstdlib>

namespace {

using executor = asio::io_context::executor_type;
constexpr asio::use_awaitable_t<executor> use_awaitable;
using tcp_socket = asio::basic_stream_socket<asio::ip::tcp, executor>;
using tcp_acceptor = asio::basic_socket_acceptor<asio::ip::tcp, executor>;

asio::awaitable<void, executor> echo(tcp_socket client) {
  std::array<char, 4096> data;
  asio::error_code error;
  for (;;) {
    const std::size_t received =
        co_await client.async_read_some(asio::buffer(data), asio::redirect_error(use_awaitable, error));
    if (error) co_return;
    co_await asio::async_write(client, asio::buffer(data, received),
                               asio::redirect_error(use_awaitable, error));
    if (error) co_return;
  }
}

asio::awaitable<void, executor> accept(tcp_acceptor& listener) {
  for (;;) {
    tcp_socket client = co_await listener.async_accept(use_awaitable);
    client.set_option(asio::ip::tcp::no_delay(true));
    asio::co_spawn(listener.get_executor(), echo(std::move(client)), asio::detached);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s PORT\n", argv[0]);
    return 2;
  }
  asio::io_context io(1);
  asio::signal_set stop(io, SIGINT, SIGTERM);
  stop.async_wait([&](asio::error_code, int) { io.stop(); });

  const auto port = static_cast<asio::ip::port_type>(std::atoi(argv[1]));
  const asio::ip::tcp::endpoint address(asio::ip::address_v4::loopback(), port);
  tcp_acceptor listener(io.get_executor());
  listener.open(address.protocol());
  listener.set_option(asio::socket_base::reuse_address(true));
  listener.bind(address);
  listener.listen(4096);
  asio::co_spawn(io.get_executor(), accept(listener), asio::detached);
  io.run();
}
