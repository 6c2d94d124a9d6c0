// A handler that uses a connection after it has given it away.
#include <csignal>
#include <cstdlib>

#include "weir/connection/connection_pair.hpp"
#include "weir/core/test_core.hpp"

namespace {

weir::task<> use_after_move(weir::connection c) {
  const weir::connection taken = std::move(c);
  const auto data = co_await c.receive();
  static_cast<void>(data);
}

}  // namespace

int main() {
  std::signal(SIGABRT, [](int) { std::_Exit(3); });
  weir::test_core core;
  weir::connection_pair ends;
  core->spawn(use_after_move(std::move(ends.server)));
  core.settle();
}
