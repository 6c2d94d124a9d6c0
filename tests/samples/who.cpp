// A server for the tests of who does what. Lines, each with an answer:
//   who ID       "ID PROCESS THREAD" of the handler
//   block PATH   sleeps in the handler until PATH exists; PATH.held tells that it has begun
//   spin PATH    the same, computing
//   alone        from here on two children, one that reads and one that answers; each line is answered by how
//                often any of the two has run, and the process aborts if they ever run in two threads at once
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <weir/weir.hpp>

namespace {

std::string thread_id() { return std::to_string(::syscall(SYS_gettid)); }

// Blocks or spins, as told; not one instruction between the two files is another handler's.
void hold_up(const std::string& path, bool spin) {
  const weir::unique_fd begun(::open((path + ".held").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  while (::access(path.c_str(), F_OK) != 0)
    if (!spin) ::usleep(1000);
}

// What a connection must do alone. The counter has no lock on purpose: a thread sanitizer reports what the
// flag is too slow to see, and the flag orders nothing that would hide it.
class alone {
 public:
  class turn {
   public:
    explicit turn(alone& a) : alone_(a) {
      if (alone_.inside_.exchange(true, std::memory_order_relaxed)) std::abort();
      ++alone_.turns_;
    }
    turn(const turn&) = delete;
    turn& operator=(const turn&) = delete;
    ~turn() { alone_.inside_.store(false, std::memory_order_relaxed); }

   private:
    alone& alone_;
  };

  [[nodiscard]] long turns() const noexcept { return turns_; }

 private:
  long turns_ = 0;
  std::atomic<bool> inside_ = false;
};

weir::task<> take_lines(weir::reader* in, weir::channel<long>* to, alone* a) {
  while (const auto line = co_await in->until("\n")) {
    long turns = 0;
    {
      const alone::turn mine(*a);
      turns = a->turns();
    }
    co_await to->send(turns);
    if (turns % 16 == 0) co_await weir::yield();
    if (turns % 64 == 0) co_await weir::sleep_for(std::chrono::milliseconds(1));
  }
  to->close();
}

weir::task<> give_answers(weir::connection* client, weir::channel<long>* from, alone* a) {
  while (const auto taken = co_await from->receive()) {
    std::string answer;
    {
      const alone::turn mine(*a);
      answer = std::to_string(a->turns()) + "\n";
    }
    co_await client->send(answer);
  }
  const std::string last = "turns " + std::to_string(a->turns()) + "\n";
  co_await client->send(last);
  client->shutdown_send();
}

weir::task<> answer(weir::connection client) {
  weir::reader in(client);
  while (const auto line = co_await in.until("\n")) {
    const std::string text(*line);
    const auto space = std::min(text.find(' '), text.size());
    const std::string what = text.substr(0, space);
    const std::string rest = text.substr(std::min(space + 1, text.size()));
    if (what == "alone") {
      alone a;
      weir::channel<long> between(8);
      weir::scope both;
      both.spawn(take_lines(&in, &between, &a));
      both.spawn(give_answers(&client, &between, &a));
      co_await both.join();
      co_return;
    }
    if (what == "block" || what == "spin") hold_up(rest, what == "spin");
    const std::string said = rest + " " + std::to_string(::getpid()) + " " + thread_id() + "\n";
    co_await client.send(said);
  }
}

}  // namespace

int main(int argc, char** argv) { return weir::run(argc, argv, answer); }
