// For a test: logs from the destructor of a global object, which runs after those of all function-local
// statics, and while exit() runs beside a thread that goes on logging.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "weir/base/error.hpp"
#include "weir/base/log.hpp"

namespace {

std::atomic<int> lines{0};

void wait_for_lines(int more) {
  for (const int end = lines + more; lines < end;) std::this_thread::yield();
}

struct global {
  ~global() {
    wait_for_lines(100);  // of the other thread, after the statics have been destroyed
    weir::log::error("the last line: {}", weir::make_error_code(weir::errc::overloaded).message());
    std::puts("everything was logged");
    std::fflush(stdout);
  }
} last;

}  // namespace

int main() {
  std::thread([] {
    for (;; ++lines) weir::log::info("beside exit: {}", lines.load());
  }).detach();
  wait_for_lines(100);
  std::exit(weir::log::lost_lines() == 0 ? 0 : 1);
}
