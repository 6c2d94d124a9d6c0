// For a test: a chunk without a name as a condition, and one that is sent to another core.
#include "weir/connection/connection.hpp"
#include "weir/core/cross_channel.hpp"

weir::task<> drain(weir::connection client) {
  while (co_await client.receive()) {
  }
}

void send(weir::chunk data) {
  weir::cross_channel<weir::chunk> c(1);
  static_cast<void>(c.try_send(data));
}
