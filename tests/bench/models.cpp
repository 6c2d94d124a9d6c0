// The handler of `./dev bench models`: what comes is sent back, after the work that was asked for. With one
// message in flight what comes is a message.
#include <time.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <weir/weir.hpp>

namespace {

unsigned compute = 0;  // microseconds per message
unsigned block = 0;
unsigned wait = 0;

// Of the thread's own time, so that waiting for a CPU is no work.
long thread_nanoseconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

void work() {
  if (compute != 0)
    for (const long end = thread_nanoseconds() + long{compute} * 1000; thread_nanoseconds() < end;) {
    }
  if (block != 0) ::usleep(block);
}

weir::task<> answer(weir::connection client) {
  while (auto data = co_await client.receive()) {
    work();
    if (wait != 0) co_await weir::sleep_for(std::chrono::microseconds(wait));
    co_await client.send(data);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const weir::program about{
      .summary = "an echo that works for it",
      .options =
          "  --compute MICROSECONDS  on the CPU, for each message\n"
          "  --block MICROSECONDS    asleep, for each message\n"
          "  --wait MICROSECONDS     suspended, for each message",
      .take = [](std::span<const std::string> rest) -> std::size_t {
        if (rest.size() < 2) return 0;
        unsigned* const to = rest[0] == "--compute" ? &compute
                             : rest[0] == "--block" ? &block
                             : rest[0] == "--wait"  ? &wait
                                                    : nullptr;
        if (to == nullptr) return 0;
        const std::string& text = rest[1];
        std::from_chars(text.data(), text.data() + text.size(), *to);
        return 2;
      },
  };
  return weir::run(argc, argv, answer, about);
}
