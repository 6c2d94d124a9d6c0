// For a test: coroutines with `co_await` in a condition and no local variable.
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "weir/base/detail/build.hpp"
#include "weir/core/test_core.hpp"

namespace {

weir::task<bool> give(bool value) { co_return value; }
weir::task<> root() {
  while (co_await give(false)) {
  }
}
weir::task<> parent() {
  const int here = 1;  // its own frame is in its place
  co_await root();
  static_cast<void>(here);
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGABRT, [](int) { std::_Exit(3); });
  weir::test_core core;
  core->spawn(argc > 1 && argv[1][0] == 'c' ? parent() : root());
  core.settle();
  if (!weir::build::careful_coroutines) std::puts("every frame is in its place");
}
