#pragma once
// core: threads for work that blocks or computes, so that a core does not.

#include <sched.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "weir/observe/detail/figures.hpp"

namespace weir {

namespace dump {
class inspection;
}

// A queue with a bound, and threads that are started as they are needed.
// Thread: any. Lifetime: stop() waits for what is running.
class offload_pool {
 public:
  // A job belongs to its submitter. The pool refers to it until its run() has been called, until it is
  // withdrawn, or until leave() or stop() drops it; run() may therefore end with the job handed back and
  // destroyed by its submitter.
  class job {
   public:
    virtual void run() noexcept = 0;

   protected:
    ~job() = default;

   private:
    friend offload_pool;
    friend class dump::inspection;
    enum class place : std::uint8_t { outside, queued, started };
    job* next_ = nullptr;
    job** link_ = nullptr;  // what points at this job in the queue
    const void* owner_ = nullptr;
    std::chrono::steady_clock::time_point queued_at_;
    place place_ = place::outside;
  };

  // At most `threads` at once, at most `queue` jobs waiting. They run on the CPUs that the calling thread may
  // use now, whichever thread submits the job that starts one: a pinned core's would put them on its own CPU.
  offload_pool(std::size_t threads, std::size_t queue) noexcept;
  offload_pool(const offload_pool&) = delete;
  offload_pool& operator=(const offload_pool&) = delete;
  ~offload_pool() { stop(); }

  // `owner`: names the jobs that leave() ends. False if the queue is full or the pool has stopped.
  // Errors: std::system_error if there is no thread and none can be started.
  [[nodiscard]] bool submit(job& j, const void* owner);

  // True if the job will not run: it was taken out of the queue, or the pool had dropped it. False if it has
  // started.
  bool withdraw(job& j) noexcept;

  // Drops those jobs of `owner` that wait, and waits for those that run.
  void leave(const void* owner) noexcept;

  // Drops what waits, waits for what runs.
  void stop() noexcept;

  [[nodiscard]] std::size_t queued() const;

  // Before the first job. Where it is counted from now on how many jobs there were and how long they have
  // waited.
  void record_in(observe::recorder to) noexcept { recorder_ = to; }

  // Whether the calling thread is one of a pool's and runs a job. Async-signal-safe.
  [[nodiscard]] static bool runs_job_here() noexcept;

 private:
  friend class dump::inspection;
  struct running {
    const void* owner;
    const job* what;  // gone once its run() has ended
  };

  void work() noexcept;
  void push(job& j) noexcept;
  void take_out(job& j, job::place to) noexcept;
  void count_start(const job& j) noexcept;

  std::size_t threads_limit_;
  std::size_t queue_limit_;
  observe::recorder recorder_;
  cpu_set_t cpus_;  // empty: unknown
  mutable std::mutex mutex_;
  std::condition_variable ready_;
  std::condition_variable ended_;
  job* first_ = nullptr;
  job** last_ = &first_;
  std::size_t queued_ = 0;
  std::vector<running> running_;
  std::vector<std::thread> threads_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
};

}  // namespace weir
