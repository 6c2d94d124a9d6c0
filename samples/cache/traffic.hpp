#pragma once
// cache: connections and bytes, counted by all of them at once.

#include <array>
#include <atomic>
#include <cstdint>

namespace cache {

// Each connection counts in one of several places, so that cores do not take a cache line from each other.
class traffic {
 public:
  struct alignas(64) place {
    std::atomic<std::uint64_t> read{0};
    std::atomic<std::uint64_t> written{0};
  };

  // A connection, while it lives.
  class visitor {
   public:
    explicit visitor(traffic& t) noexcept
        : in_(t), place_(t.places_[t.total_.fetch_add(1, std::memory_order_relaxed) % t.places_.size()]) {
      t.now_.fetch_add(1, std::memory_order_relaxed);
    }
    visitor(const visitor&) = delete;
    visitor& operator=(const visitor&) = delete;
    ~visitor() { in_.now_.fetch_sub(1, std::memory_order_relaxed); }

    void count(std::size_t read, std::size_t written) noexcept {
      place_.read.fetch_add(read, std::memory_order_relaxed);
      place_.written.fetch_add(written, std::memory_order_relaxed);
    }

   private:
    traffic& in_;
    place& place_;
  };

  [[nodiscard]] std::uint64_t connections() const noexcept { return now_; }
  [[nodiscard]] std::uint64_t total_connections() const noexcept { return total_; }
  [[nodiscard]] std::uint64_t read() const noexcept { return sum(&place::read); }
  [[nodiscard]] std::uint64_t written() const noexcept { return sum(&place::written); }
  void reset() noexcept {
    for (place& each : places_) each.read = each.written = 0;
    total_ = 0;
  }

 private:
  [[nodiscard]] std::uint64_t sum(std::atomic<std::uint64_t> place::* what) const noexcept {
    std::uint64_t all = 0;
    for (const place& each : places_) all += each.*what;
    return all;
  }

  std::array<place, 16> places_;
  std::atomic<std::uint64_t> total_{0};
  std::atomic<std::uint64_t> now_{0};
};

}  // namespace cache
