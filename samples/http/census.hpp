#pragma once
// What each thread that serves has served, for /stats.

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include <weir/http/site.hpp>

// A tally for each core. Where threads come and go, those of one CPU and index share one.
// Thread: any. Lifetime: outlives the server.
class census {
 public:
  // The tally of the thread that asks.
  weir::http::tally& of_here();

  // {"pid":1,"uptime":2.5,"cores":[{"core":0,"cpu":0,"connections":3,"requests":4}]}
  [[nodiscard]] std::string to_json() const;

 private:
  struct place {
    unsigned index;
    int cpu;  // -1: not pinned
    auto operator<=>(const place&) const = default;
  };
  // Remembers on each core where its tally is.
  struct seat {
    explicit seat(weir::core&) {}
    weir::http::tally* taken = nullptr;
  };

  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  mutable std::mutex mutex_;
  std::map<place, weir::http::tally> tallies_;
};
