#pragma once
// What each serving thread has served, for /stats.

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include <weir/http/site.hpp>

// A tally for each core of each process, in memory that the processes of a pool share, so that each process
// can report all of them. Where threads come and go, those of one CPU and index share one.
// Thread: any. Fork: make it before the fork. Lifetime: must outlive the server.
class census {
 public:
  census();
  census(const census&) = delete;
  census& operator=(const census&) = delete;

  // The tally of the calling thread.
  weir::http::tally& of_here();

  // {"pid":1,"uptime":2.5,"cores":[{"pid":1,"core":0,"cpu":0,"connections":3,"requests":4}]}: the pid
  // of the answering process, and all cores of all living processes.
  [[nodiscard]] std::string to_json() const;

 private:
  static constexpr std::size_t capacity = 1024;  // memory is taken only for what is used

  struct alignas(64) seat {
    std::atomic<::pid_t> owner;  // 0: free
    std::atomic<unsigned> core;
    std::atomic<int> cpu;  // -1: not pinned
    weir::http::tally counted;
  };
  // Remembers on each core where its tally is.
  struct place {
    explicit place(weir::core&) {}
    weir::http::tally* taken = nullptr;
  };
  struct unmap {
    void operator()(seat* memory) const noexcept;
  };

  [[nodiscard]] seat* take_seat(unsigned core, int cpu);

  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  const std::unique_ptr<seat, unmap> memory_;
  const std::span<seat, capacity> seats_;
  std::mutex taking_;              // of this process
  weir::http::tally of_the_rest_;  // if all places are taken
};
