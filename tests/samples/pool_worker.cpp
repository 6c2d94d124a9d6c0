// For tests of process pools, a line of commands: "who" is answered with the process id, "slow" with it after
// 300 ms, "park" with it before the connection is parked, "bye" with it before it is closed; "crash" and
// "hang" do so; "hold" makes the file that POOL_HOLD names, and blocks the loop until it is removed;
// "orphans" runs a shell that leaves ten processes behind, and is answered with the shell's exit code. With
// POOL_INIT naming a file, a worker that starts does what is written there: "crash", "refuse", "hang" or
// "sleep" and milliseconds.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include <weir/weir.hpp>

using namespace std::chrono_literals;

namespace {

// Also under a sanitizer, which handles the signal and exits.
void crash() {
  static_cast<void>(std::signal(SIGSEGV, SIG_DFL));
  std::raise(SIGSEGV);
}

void hold() {
  const std::filesystem::path file(std::getenv("POOL_HOLD"));
  std::ofstream(file).put('x');
  while (std::filesystem::exists(file)) std::this_thread::sleep_for(1ms);
}

int orphans() {
  return WEXITSTATUS(std::system("for i in 0 1 2 3 4 5 6 7 8 9; do sleep 0.05 & done; exit 7"));
}

// Made by each worker when it first answers.
void count(std::string_view command) {
  static const weir::labelled<weir::counter> lines("pool_worker_lines", "Lines that were read.", "command",
                                                   {"who", "other"});
  static const weir::histogram sizes("pool_worker_line_bytes", "How long they were.");
  lines[command == "who" ? 0 : 1].add();
  sizes.record(command.size());
}

class commands {
 public:
  static constexpr auto keeps = weir::state_kind::per_connection;

  void start() {
    const char* const file = std::getenv("POOL_INIT");
    if (file == nullptr) return;
    std::ifstream words(file);
    for (std::string what; words >> what;) {
      if (what == "crash") crash();
      while (what == "hang") ::pause();
      if (what == "refuse") throw std::runtime_error("refused by POOL_INIT");
      long time = 0;
      if (what == "sleep" && words >> time) std::this_thread::sleep_for(time * 1ms);
    }
  }

  weir::task<> operator()(weir::connection client) {
    weir::reader in(client);
    while (auto line = co_await in.until("\n")) {
      count(*line);
      if (*line == "crash") crash();
      while (*line == "hang") ::pause();
      if (*line == "hold") hold();
      if (*line == "slow") co_await weir::sleep_for(300ms);
      const int told = *line == "orphans" ? orphans() : ::getpid();
      const std::string answer = std::to_string(told) + "\n";
      weir::core::here().count_requests();
      const bool parks = *line == "park" && in.buffered().empty();
      co_await client.send(answer);
      if (parks) co_return client.park();
      if (*line == "bye") co_return;
    }
  }
};

}  // namespace

int main(int argc, char** argv) { return weir::run<commands>(argc, argv); }
