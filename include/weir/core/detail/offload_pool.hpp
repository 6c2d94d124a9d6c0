#pragma once
// core: threads for work that blocks or computes, so that a core does not.

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace weir {

// A queue with a bound, and threads that are started as they are needed.
// Thread: any. Lifetime: stop() waits for what is running.
class offload_pool {
 public:
  class job {
   public:
    virtual void run() noexcept = 0;

   protected:
    ~job() = default;
  };

  // At most `threads` at once, at most `queue` jobs waiting.
  offload_pool(std::size_t threads, std::size_t queue) : threads_limit_(threads), queue_limit_(queue) {}
  offload_pool(const offload_pool&) = delete;
  offload_pool& operator=(const offload_pool&) = delete;
  ~offload_pool() { stop(); }

  // False if the queue is full or the pool has stopped. Errors: std::system_error without a thread.
  [[nodiscard]] bool submit(std::shared_ptr<job> j);  // shared: the waiting coroutine may give up first

  // Takes a job out of the queue; false if it has started.
  bool withdraw(const job& j) noexcept;

  // Drops what waits, waits for what runs.
  void stop() noexcept;

  [[nodiscard]] std::size_t queued() const;

 private:
  void work() noexcept;

  std::size_t threads_limit_;
  std::size_t queue_limit_;
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<std::shared_ptr<job>> queue_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace weir
