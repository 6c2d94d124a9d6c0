#include "weir/task/detail/run_queue.hpp"

#include <cstdio>
#include <cstdlib>
#include <new>
#include <system_error>
#include <utility>

#include "weir/base/error.hpp"
#include "weir/task/detail/block_pool.hpp"
#include "weir/task/detail/chain.hpp"

namespace weir {
namespace {

constinit thread_local run_queue* queue_here = nullptr;
constinit thread_local char this_thread = 0;  // its address tells threads apart

}  // namespace

remote_wake* remote_wake::make(chain& root, remote_wake** kept_in) {
  return new (block_pool::allocate(sizeof(remote_wake))) remote_wake{nullptr, &root, kept_in, nullptr};
}

chain* remote_wake::arrived(remote_wake* w) noexcept {
  if (w->how != nullptr) return w->how->arrive(w);
  chain* const root = w->root;
  if (root != nullptr && w->kept_in != nullptr) *w->kept_in = nullptr;
  free(w);
  return root;
}

void remote_wake::dropped(remote_wake* w) noexcept {
  if (w->how != nullptr) return w->how->drop(w);
  static_cast<void>(arrived(w));
}

remote_wake* remote_wake::depart(chain& root) {
  // The queue to which the chain has been moved is the one at which it arrives.
  static constexpr kind way{[](remote_wake* w) noexcept {
                              chain* const arrived = w->root;
                              run_queue& here = arrived->home();
                              if (arrived->is_native_to(here))
                                free(w);
                              else
                                w->next = std::exchange(here.spare_, w);
                              return arrived;
                            },
                            &free};
  run_queue& here = root.home();
  const bool native = root.is_native_to(here) || here.spare_ == nullptr;
  remote_wake* const w = native ? make(root) : std::exchange(here.spare_, here.spare_->next);
  *w = {nullptr, &root, nullptr, &way};
  return w;
}

run_queue::~run_queue() {
  while (spare_ != nullptr) remote_wake::free(std::exchange(spare_, spare_->next));
}

void remote_wake::free(remote_wake* w) noexcept { block_pool::deallocate(w, sizeof *w); }

run_queue* run_queue::current() noexcept { return queue_here; }

run_queue& run_queue::here() {
  if (queue_here == nullptr) throw std::system_error(errc::not_on_a_core);
  return *queue_here;
}

void run_queue::check_thread(const char* what) const noexcept {
  const void* const owner = thread_.load(std::memory_order_relaxed);
  if (owner == nullptr || owner == &this_thread) return;
  std::fprintf(stderr, "weir: %s was called on another thread than that of its core\n", what);
  std::abort();
}

run_queue::entered::entered(run_queue& q) noexcept : before_(std::exchange(queue_here, &q)) {
  if constexpr (build::checks) thread_before_ = q.thread_.exchange(&this_thread, std::memory_order_relaxed);
}

run_queue::entered::~entered() {
  if constexpr (build::checks) queue_here->thread_.store(thread_before_, std::memory_order_relaxed);
  queue_here = before_;
}

}  // namespace weir
