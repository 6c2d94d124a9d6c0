// For a test: handlers of Asio's are run without asio_handler.
#include "weir/server/run.hpp"

asio::awaitable<void> serve(asio::ip::tcp::socket) { co_return; }

int main(int argc, char** argv) {
  weir::server embedded({}, serve);
  return weir::run(argc, argv, serve);
}
