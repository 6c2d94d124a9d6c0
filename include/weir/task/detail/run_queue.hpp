#pragma once
// task: where chains wait for their turn: a core, or an executor of Asio.

#include <atomic>
#include <memory>

#include "weir/base/asio.hpp"
#include "weir/base/detail/build.hpp"

namespace weir {

class chain;

// A wake-up that may come from another thread. The operation that waits makes it; the thread that wakes the
// operation delivers it, once, to the home of the chain; the home's thread receives it. By then the waiting
// frame may be gone, and has set `root` to null.
struct remote_wake {
  remote_wake* next = nullptr;
  chain* root = nullptr;  // the home thread's alone
  remote_wake** kept_in =
      nullptr;  // where the waiting frame keeps it, to disown it; null from its arrival on
  // For a wake-up that is not simply freed when it arrives.
  struct kind {
    chain* (*arrive)(remote_wake*) noexcept;  // tells which chain is woken, if any
    void (*drop)(remote_wake*) noexcept;      // the same where no chain runs any more
  };
  const kind* how = nullptr;

  // Errors: std::bad_alloc.
  [[nodiscard]] static remote_wake* make(chain& root, remote_wake** kept_in = nullptr);
  static void free(remote_wake* w) noexcept;

  // For a chain that leaves the queue on which it is for another one. The way from its native queue takes
  // memory. Every further way, and the way home, takes none: a chain brings what it needs for it. Errors:
  // std::bad_alloc, on its native queue only; the chain is still there.
  [[nodiscard]] static remote_wake* depart(chain& root);

  // Ends one that has been delivered, on its home thread, and tells which chain it wakes: null if it was
  // disowned.
  static chain* arrived(remote_wake* w) noexcept;

  // Ends one that has been delivered, where the chains are destroyed.
  static void dropped(remote_wake* w) noexcept;
};

// Thread: the home's, unless said otherwise. Lifetime: outlives its chains.
class run_queue {
 public:
  // The queue that the calling thread has entered: a core's, or that of a task which Asio code has spawned;
  // null on other threads, where here() throws std::system_error with errc::not_on_a_core.
  [[nodiscard]] static run_queue* current() noexcept;
  [[nodiscard]] static run_queue& here();

  // The thread rule: ends the program if another thread has entered this queue than the calling one. A queue
  // that no thread has entered may be used by its owner. Nothing in builds without checks. `what`: the
  // method, for the message.
  void assert_thread([[maybe_unused]] const char* what) const noexcept {
    if constexpr (build::checks) check_thread(what);
  }

  // Puts a chain at the end, once.
  virtual void schedule(chain& root) noexcept = 0;
  virtual void unschedule(chain& root) noexcept = 0;

  // Any thread. Resumes the chain of `w` on the home thread, to which `w` belongs from here on. One wake-up
  // of the thread serves a whole batch.
  virtual void deliver(remote_wake* w) noexcept = 0;

  // Any thread.
  [[nodiscard]] virtual asio::any_io_executor executor() const = 0;

  // What keeps this queue alive for a delivery that comes after the last of its chains has ended; null for a
  // queue that waits for such deliveries before it goes.
  [[nodiscard]] virtual std::shared_ptr<void> keep_alive() { return nullptr; }

  // The chain that runs; null while none does. Any thread; only the home thread, and a signal handler on it,
  // may dereference the pointer.
  [[nodiscard]] chain* running() const noexcept { return running_.load(std::memory_order_relaxed); }

  // Records which chain runs; returns the previous one.
  chain* now_runs(chain* root) noexcept {
    chain* const before = running();
    set_running(root);
    return before;
  }
  void set_running(chain* root) noexcept { running_.store(root, std::memory_order_relaxed); }

  // Makes `q` current on this thread while it lives.
  class entered {
   public:
    explicit entered(run_queue& q) noexcept;
    entered(const entered&) = delete;
    entered& operator=(const entered&) = delete;
    ~entered();

   private:
    run_queue* before_;
    const void* thread_before_ = nullptr;
  };

 protected:
  run_queue() = default;
  ~run_queue();

 private:
  friend remote_wake;
  void check_thread(const char* what) const noexcept;

  std::atomic<chain*> running_{nullptr};
  remote_wake* spare_ =
      nullptr;  // for each chain that is here and not native: its way on. The home thread's.
  std::atomic<const void*> thread_{
      nullptr};  // an address of the thread that has entered; in builds with checks
};

}  // namespace weir
