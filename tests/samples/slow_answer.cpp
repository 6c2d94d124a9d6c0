// A server for the tests of stopping: "question" is answered after 300 ms, "refuse" at once and without
// reading on, "spin" holds up its core for 400 ms.
#include <chrono>

#include <weir/weir.hpp>

using namespace std::chrono_literals;

namespace {

weir::task<> answer(weir::connection client) {
  weir::reader in(client);
  while (auto line = co_await in.until("\n")) {
    if (*line == "refuse") {
      co_await client.send("refused\n");
      break;
    }
    if (*line == "spin") {
      const auto end = std::chrono::steady_clock::now() + 400ms;
      while (std::chrono::steady_clock::now() < end) {
      }
      continue;
    }
    co_await weir::sleep_for(300ms);
    std::string text;
    for (int i = 0; i < 1000; ++i) text += "answer\n";
    co_await client.send(text);
  }
}

}  // namespace

int main(int argc, char** argv) { return weir::run(argc, argv, answer); }
