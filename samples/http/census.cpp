#include "census.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <system_error>

namespace {

// Zeroed pages are atomics of value 0.
void* shared_memory(std::size_t bytes) {
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "memory of the figures");
  return at;
}

bool lives(::pid_t process) { return ::kill(process, 0) == 0 || errno != ESRCH; }

}  // namespace

void census::unmap::operator()(seat* memory) const noexcept { ::munmap(memory, capacity * sizeof(seat)); }

census::census()
    : memory_(static_cast<seat*>(shared_memory(capacity * sizeof(seat)))), seats_(memory_.get(), capacity) {}

weir::http::tally& census::of_here() {
  weir::core& here = weir::core::here();
  weir::http::tally*& taken = here.local<place>().taken;
  if (taken == nullptr) {
    const std::lock_guard hold(taking_);
    seat* const found = take_seat(here.index(), here.cpu().value_or(-1));
    taken = found != nullptr ? &found->counted : &of_the_rest_;
  }
  return *taken;
}

// The one that this process has for that core; or that of a process which had the same core and is gone, with
// what it has served; or any that is free. Null if there is none.
census::seat* census::take_seat(unsigned core, int cpu) {
  const ::pid_t self = ::getpid();
  for (;;) {
    seat* heir = nullptr;
    seat* stranger = nullptr;
    for (seat& each : seats_) {
      const ::pid_t owner = each.owner;
      const bool same = owner != 0 && each.core == core && each.cpu == cpu;
      if (owner == self && same) return &each;
      if (owner != 0 && lives(owner)) continue;
      seat*& found = same ? heir : stranger;
      if (found == nullptr) found = &each;
      if (owner == 0) break;  // places are taken from the front
    }
    seat* const best = heir != nullptr ? heir : stranger;
    if (best == nullptr) return nullptr;
    ::pid_t before = best->owner;
    if (before != 0 && lives(before)) continue;  // another process was faster
    if (!best->owner.compare_exchange_strong(before, self)) continue;
    if (best != heir) best->counted.requests = 0;
    best->counted.connections = 0;
    best->core = core;
    best->cpu = cpu;
    return best;
  }
}

std::string census::to_json() const {
  const std::chrono::duration<double> uptime = std::chrono::steady_clock::now() - start_;
  std::string out = fmt::format(R"({{"pid":{},"uptime":{:.3f},"cores":[)", ::getpid(), uptime.count());
  const char* between = "";
  for (const seat& each : seats_) {
    const ::pid_t owner = each.owner;
    if (owner == 0) break;
    if (!lives(owner)) continue;
    out += fmt::format(R"({}{{"pid":{},"core":{},"cpu":{},"connections":{},"requests":{}}})", between, owner,
                       each.core.load(), each.cpu.load(), each.counted.connections.load(),
                       each.counted.requests.load());
    between = ",";
  }
  return out + "]}\n";
}
