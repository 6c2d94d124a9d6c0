// For tests: tells each client which loop serves it, then echoes.
#include <weir/weir.hpp>

weir::task<> tell_and_echo(weir::connection client) {
  const std::string loop = std::to_string(weir::core::current()->index());
  co_await client.send(loop);
  while (auto data = co_await client.receive()) co_await client.send(data);
}

int main(int argc, char** argv) { return weir::run(argc, argv, tell_and_echo); }
