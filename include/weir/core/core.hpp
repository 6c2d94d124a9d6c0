#pragma once
// core: one thread, its event loop and everything that belongs to that loop alone.

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <typeindex>
#include <unordered_map>
#include <vector>

#include "weir/base/asio.hpp"
#include "weir/base/detail/handler_memory.hpp"
#include "weir/config/settings.hpp"
#include "weir/core/detail/offload_pool.hpp"
#include "weir/io/chunk.hpp"
#include "weir/io/detail/driver.hpp"
#include "weir/io/detail/timer_queue.hpp"
#include "weir/observe/detail/ledger.hpp"
#include "weir/task/task.hpp"

namespace weir {

class connection_table;
class core_pool;
namespace dump {
class inspection;
}
namespace admin {
class survey;
}

// A type whose values belong to the core that made them, as a chunk does: they must not travel to another
// one.
template <class T>
concept core_bound = requires { typename T::is_core_bound; };

// What the concurrency model asks of a core.
struct core_role {
  bool io_blocks = false;  // operations block in system calls: Asio gets a turn after each turn of a chain
  // Handlers run on other threads than their connection's, and chunks may be destroyed there.
  bool handlers_migrate = false;
  bool opens_late = false;  // no epoll set until an operation waits for a socket
  // Where it is counted what the core does; null: nowhere. Outlives the core.
  observe::process_ledger* ledger = nullptr;
};

// Problem: state that several threads use needs locks, and a thread that moves between CPUs loses its caches.
// A core is a thread that stays on one CPU and shares nothing: an io_context, the driver that it waits in,
// its timers and its memory. While a thread runs a core, SIGPIPE is blocked on it: sendfile(2) raises it.
// Thread: functions marked "any thread" may be called from any; the others belong to the core's thread while
// the core runs, and to its owner before and after that. Builds with checks end the program where that is
// violated.
class core {
 public:
  // `cpu`: the CPU that the thread is pinned to; none: the kernel chooses.
  // `shared_with`: the threads for offload(); none for its own.
  // `pool`: the pool that it is part of.
  core(unsigned index, std::optional<int> cpu, const settings& s, offload_pool* shared_with = nullptr,
       core_pool* pool = nullptr, core_role role = {});
  core(const core&) = delete;
  core& operator=(const core&) = delete;
  ~core();

  // The core that runs on this thread; null on any other thread.
  [[nodiscard]] static core* current() noexcept;

  // The same, where there must be one. Errors: std::system_error with errc::not_on_a_core.
  [[nodiscard]] static core& here();

  // Makes `c` current on this thread while it lives, without running it. For its owner while it does not run.
  class entered {
   public:
    explicit entered(core& c) noexcept;
    entered(const entered&) = delete;
    entered& operator=(const entered&) = delete;
    ~entered();

   private:
    core* before_;
    run_queue::entered queue_;
  };

  // Runs the loop on the calling thread until stop(); the thread is pinned meanwhile, and SIGPIPE is blocked.
  // Errors: std::system_error naming the CPU when it cannot be pinned.
  void run();

  // Any thread. From now on a handler of Asio's that finds no memory is logged, and does not end run(): a
  // server that starts ends then, one that serves goes on.
  void endure() noexcept { endures_.store(true, std::memory_order_relaxed); }

  // Runs what is ready, without waiting; 0 if that was nothing.
  std::size_t poll();

  // Any thread. Makes run() return; what is suspended stays so until the core is destroyed.
  void stop() noexcept { context_.stop(); }

  // Any thread. Runs `f` on the core's thread, and destroys it there; if the core has stopped for good, its
  // owner's thread destroys `f` with the core, after the core's objects. Errors: std::bad_alloc, if several
  // posts are pending already.
  template <class F>
  void post(F f) {
    asio::post(context_, kept_in(posts_, std::move(f)));
  }

  // Any thread, while it runs: sends a signal to the core's thread; false if it does not run.
  bool interrupt(int signal) noexcept;

  // Starts a task of its own; an exception that leaves it is logged. A task that has not ended when the core
  // is destroyed is destroyed with it.
  void spawn(task<> t);

  // Whether something of the core's own is left that needs its thread: a spawned task that has not ended, or
  // offloaded work whose coroutine has gone. Any thread.
  [[nodiscard]] bool has_own_work() const noexcept { return own_work_.load(std::memory_order_relaxed) != 0; }
  // Before the core runs. Called on its thread each time when the last of that has ended.
  void when_own_work_ends(std::function<void()> f) { own_work_ended_ = std::move(f); }

  // For an object of the core's own that keeps frames of coroutines: `destroy` destroys them, and is called
  // when the core ends, before any of its own objects goes. A coroutine may be the first that asks for an
  // object, which is then younger than what keeps the coroutine.
  void keeps_frames(std::function<void()> destroy) { frames_.push_back(std::move(destroy)); }

  // For what is the core's own work.
  void add_own_work() noexcept { own_work_.store(own_work_ + 1, std::memory_order_relaxed); }
  void end_own_work() noexcept;

  // For handlers of a protocol with requests: they are counted, and `--status` and the admin listener show
  // the sum.
  void count_requests(std::uint64_t n = 1) noexcept {
    driver_->assert_thread("core::count_requests");
    driver_->counted()[observe::figure::requests].add(n);
  }
  // The same for `n` requests that have each taken so long.
  void count_requests(std::uint64_t n, std::chrono::nanoseconds each) noexcept {
    count_requests(n);
    const std::uint64_t took = each.count() > 0 ? static_cast<std::uint64_t>(each.count()) : 0;
    of(driver_->measured(), observe::measure::request).record(took, n);
    driver_->request_took(took);
  }
  // Those of this core alone.
  [[nodiscard]] std::uint64_t requests() const noexcept {
    return driver_->counted()[observe::figure::requests].read() - requests_before_;
  }

  // Writes down the levels that are not counted where they change.
  void write_levels() noexcept {
    driver_->write_levels();
    timers_.write_levels();
  }

  // Its thread waits in the loop whenever nothing runs, so that timers and posts come at any time. False for
  // a thread that blocks in system calls or waits for jobs.
  [[nodiscard]] bool is_loop() const noexcept { return is_loop_; }

  [[nodiscard]] unsigned index() const noexcept { return index_; }
  // The cores beside this one; null if it is alone. Any thread.
  [[nodiscard]] core_pool* pool() const noexcept { return pool_; }
  [[nodiscard]] std::optional<int> cpu() const noexcept { return cpu_; }
  [[nodiscard]] asio::io_context& context() noexcept { return context_; }
  [[nodiscard]] io::driver& driver() noexcept { return *driver_; }
  [[nodiscard]] io::timer_queue& timers() noexcept { return timers_; }
  [[nodiscard]] io::chunk_pool& chunks() noexcept { return chunks_; }

  // Where offload() runs: the pool's, or one of the core's own.
  [[nodiscard]] offload_pool& offload_threads() noexcept { return *offload_; }

  // The core's own T, made as T(core&) when first asked for. Destroyed with the core, after the frames of its
  // coroutines, and the youngest first: what T's constructor asks for outlives T.
  template <class T>
  [[nodiscard]] T& local() {
    driver_->assert_thread("core::local");
    void*& slot = locals_[typeid(T)];
    if (slot == nullptr) slot = locals_in_order_.emplace_back(std::make_shared<T>(*this)).get();
    return *static_cast<T*>(slot);
  }

  // Called by the table: where its connections are, for a process that reads the memory of this one.
  void shows(const connection_table* c) noexcept { connections_ = c; }

 private:
  class spawned;
  friend class dump::inspection;
  friend class admin::survey;

  std::unique_ptr<observe::block> own_figures_;  // if it has no ledger
  std::uint64_t requests_before_ = 0;            // of an earlier core in the same place
  unsigned index_;
  bool is_loop_;
  std::optional<int> cpu_;
  core_pool* pool_;
  std::mutex thread_mutex_;
  std::optional<pthread_t> thread_;
  std::unique_ptr<offload_pool> own_offload_;
  offload_pool* offload_;
  io::chunk_pool chunks_;  // before the context, whose handlers may hold chunks when it is destroyed
  asio::io_context context_;
  std::unique_ptr<io::driver> driver_;
  io::timer_queue timers_;
  std::unordered_map<std::type_index, void*> locals_;
  std::vector<std::shared_ptr<void>>
      locals_in_order_;  // shared_ptr<void>: the one that remembers how to delete
  spawned* spawned_ = nullptr;
  std::vector<std::function<void()>> frames_;
  std::atomic<std::uint32_t> own_work_{0};  // written by the core's thread alone
  std::function<void()> own_work_ended_;
  std::atomic<bool> endures_{false};
  handler_memory<6> posts_;

  // The cores of this process: another process that reads this one's memory begins here.
  static std::mutex listing_;
  static core* first_;
  core* next_ = nullptr;
  core** link_ = nullptr;
  const connection_table* connections_ = nullptr;
  std::atomic<int> thread_id_{0};  // of the thread that has run it last
};

}  // namespace weir
