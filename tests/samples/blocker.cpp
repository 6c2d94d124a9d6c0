// A server whose handlers block their threads, for the tests of stopping. Lines: "sleep" blocks the handler's
// thread, "offload" a thread of offload(), "resolve" the thread of Asio's resolver, "loop N" loop N; each for
// a minute, and each notes "begun" in the file that BLOCKER_NOTES names when it has begun. "log WORD N"
// writes N lines with that word to the log. Each line is answered by itself. The end of the service notes
// "stopped".
#include <fcntl.h>
#include <netdb.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>
#include <string>
#include <thread>
#include <weir/weir.hpp>

using namespace std::chrono_literals;

namespace {

void note(std::string_view text) {
  const weir::unique_fd file(
      ::open(std::getenv("BLOCKER_NOTES"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  if (::write(file.get(), text.data(), text.size()) < 0) weir::log::error("no notes");
}

void block() {
  note("begun\n");
  std::this_thread::sleep_for(1min);
}

void write_lines(std::istringstream words) {
  std::string word;
  int count = 0;
  words >> word >> count;
  for (; count > 0; --count) weir::log::warning("{} {}", word, count);
}

class blocker {
 public:
  static constexpr auto keeps = weir::state_kind::per_process;

  weir::task<> operator()(weir::connection client) {
    weir::reader in(client);
    while (const auto line = co_await in.until("\n")) {
      const std::string text(*line);
      if (text == "sleep") block();
      if (text == "offload") co_await weir::offload(block);
      if (text == "resolve") {
        asio::ip::tcp::resolver names(weir::core::here().context());
        co_await names.async_resolve("blocked.test", "1", weir::use_task);
      }
      if (text.starts_with("loop ")) {
        weir::core_pool& all = *weir::core::here().pool();
        all[static_cast<std::size_t>(text[5] - '0')].post(block);
      }
      if (text.starts_with("log ")) write_lines(std::istringstream(text.substr(4)));
      const std::string answer = text + "\n";
      co_await client.send(answer);
    }
  }
  void stop() { note("stopped\n"); }
};

}  // namespace

// In the place of libc's: the name server does not answer.
extern "C" int getaddrinfo(const char*, const char*, const addrinfo*, addrinfo**) {
  block();
  return EAI_AGAIN;
}

int main(int argc, char** argv) { return weir::run<blocker>(argc, argv); }
