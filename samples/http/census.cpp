#include "census.hpp"

#include <fmt/format.h>
#include <unistd.h>

weir::http::tally& census::of_here() {
  weir::core& here = weir::core::here();
  weir::http::tally*& taken = here.local<seat>().taken;
  if (taken == nullptr) {
    const std::lock_guard hold(mutex_);
    taken = &tallies_[{here.index(), here.cpu().value_or(-1)}];
  }
  return *taken;
}

std::string census::to_json() const {
  const std::chrono::duration<double> uptime = std::chrono::steady_clock::now() - start_;
  std::string out = fmt::format(R"({{"pid":{},"uptime":{:.3f},"cores":[)", ::getpid(), uptime.count());
  const std::lock_guard hold(mutex_);
  bool first = true;
  for (const auto& [at, t] : tallies_) {
    out += fmt::format(R"({}{{"core":{},"cpu":{},"connections":{},"requests":{}}})", first ? "" : ",",
                       at.index, at.cpu, t.connections.load(), t.requests.load());
    first = false;
  }
  return out + "]}\n";
}
