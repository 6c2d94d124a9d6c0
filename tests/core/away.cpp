// For a test: a scope that dies while a child of it is on another core ends the program.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <optional>

#include "weir/core/core_pool.hpp"
#include "weir/core/sleep.hpp"
#include "weir/core/switch_to.hpp"
#include "weir/task/scope.hpp"

namespace {

weir::task<> stay_away(weir::core* other) {
  co_await weir::switch_to(*other);
  co_await weir::sleep_for(std::chrono::hours(1));
}

weir::task<> leave_a_child_behind(weir::core* other) {
  weir::scope s;
  s.spawn(stay_away(other));
  co_await weir::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace

int main() {
  std::set_terminate([] {
    std::puts("the program was ended");
    std::fflush(stdout);
    std::_Exit(0);
  });
  weir::core_pool cores({std::nullopt, std::nullopt}, {});
  cores[0].spawn(leave_a_child_behind(&cores[1]));
  cores.run();
  return 1;
}
