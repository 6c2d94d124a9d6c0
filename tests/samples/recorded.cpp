// A server for the tests of the recorder. A client that says "wait" is answered once another one has said
// "spin N", which holds the loop for N milliseconds.
#include <charconv>
#include <chrono>
#include <string>
#include <string_view>
#include <weir/weir.hpp>

namespace recorded {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

struct meeting {
  explicit meeting(weir::core&) {}
  weir::event begun;
};

[[gnu::noinline]] void hold_the_loop(std::chrono::milliseconds time) {
  const auto until = clock::now() + time;
  while (clock::now() < until) continue;  // the line that a report names
}

weir::task<> spin(std::string_view milliseconds) {
  int n = 0;
  std::from_chars(milliseconds.data(), milliseconds.data() + milliseconds.size(), n);
  weir::core::here().local<meeting>().begun.set();  // the handler that waits is ready from now on
  hold_the_loop(std::chrono::milliseconds(n));
  co_return;
}

weir::task<> wait() {
  co_await weir::core::here().local<meeting>().begun.wait();
  weir::core::here().local<meeting>().begun.reset();
}

weir::task<> serve(weir::connection client) {
  weir::reader in(client);
  for (;;) {
    const auto line = co_await in.until("\n");
    if (!line) break;
    const auto began = clock::now();
    const std::string text(*line);
    if (text == "wait") {
      const bool told = co_await client.send("waiting\n");
      if (!told) break;
      co_await wait();
    } else if (text.starts_with("spin ")) {
      const std::string_view time = std::string_view(text).substr(5);
      co_await spin(time);
    }
    weir::core::here().count_requests(1, clock::now() - began);
    const bool sent = co_await client.send("done\n");
    if (!sent) break;
  }
}

}  // namespace
}  // namespace recorded

int main(int argc, char** argv) { return weir::run(argc, argv, recorded::serve); }
