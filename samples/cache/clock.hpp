#pragma once
// cache: the time of day, unaffected by adjustments of the system's clock.

#include <ctime>

#include "shard.hpp"

namespace cache {

class clock {
 public:
  clock() noexcept : start_(milliseconds(CLOCK_MONOTONIC_COARSE)), date_(milliseconds(CLOCK_REALTIME)) {}

  [[nodiscard]] instant now() const noexcept {
    const std::uint64_t at = date_ + (milliseconds(CLOCK_MONOTONIC_COARSE) - start_);
    return {static_cast<std::uint32_t>(at / 1000), static_cast<std::uint32_t>(at)};
  }
  [[nodiscard]] std::uint32_t uptime() const noexcept {
    return static_cast<std::uint32_t>((milliseconds(CLOCK_MONOTONIC_COARSE) - start_) / 1000);
  }

 private:
  // The coarse clock of the kernel: read without a system call, and fine enough for seconds.
  [[nodiscard]] static std::uint64_t milliseconds(clockid_t of) noexcept {
    timespec t;
    ::clock_gettime(of, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1000 + static_cast<std::uint64_t>(t.tv_nsec) / 1'000'000;
  }

  std::uint64_t start_;
  std::uint64_t date_;
};

}  // namespace cache
