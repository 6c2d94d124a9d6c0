#pragma once
// compare: a command that makes load, as it was given.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::compare {

[[nodiscard]] inline bool names_server(std::string_view load) {
  constexpr auto none = std::string_view::npos;
  return load.find("{address}") != none || load.find("{port}") != none;
}

[[nodiscard]] inline bool names_time(std::string_view load) {
  return load.find("{seconds}") != std::string_view::npos;
}

// The command for a server at that port of this host.
[[nodiscard]] inline std::string command_for(std::string load, std::uint16_t port,
                                             std::chrono::milliseconds time) {
  const auto replace = [&load](std::string_view what, std::string_view by) {
    for (std::size_t at = 0; (at = load.find(what, at)) != std::string::npos; at += by.size())
      load.replace(at, what.size(), by);
  };
  replace("{address}", fmt::format("127.0.0.1:{}", port));
  replace("{host}", "127.0.0.1");
  replace("{port}", fmt::format("{}", port));
  replace("{seconds}", fmt::format("{}", std::max<long>(1, (time.count() + 500) / 1000)));
  return load;
}

// Whether a server does anything for clients that wait to be accepted.
class stillness {
 public:
  using clock = std::chrono::steady_clock;

  // One look. `moved`: any measure of what the server has done. How long it has done nothing while clients
  // waited.
  [[nodiscard]] clock::duration look(clock::time_point now, std::uint64_t moved,
                                     std::uint64_t waiting) noexcept {
    if (moved != moved_ || waiting == 0) since_ = now;
    moved_ = moved;
    return now - since_;
  }

 private:
  std::uint64_t moved_ = 0;
  clock::time_point since_ = clock::now();
};

}  // namespace weir::compare
