#include "weir/task/detail/run_queue.hpp"

#include <new>
#include <system_error>
#include <utility>

#include "weir/base/error.hpp"
#include "weir/task/detail/block_pool.hpp"

namespace weir {
namespace {

constinit thread_local run_queue* queue_here = nullptr;

}  // namespace

remote_wake* remote_wake::make(chain& root, remote_wake** kept_in) {
  return new (block_pool::allocate(sizeof(remote_wake))) remote_wake{nullptr, &root, kept_in};
}

chain* remote_wake::arrived(remote_wake* w) noexcept {
  chain* const root = w->root;
  if (root != nullptr && w->kept_in != nullptr) *w->kept_in = nullptr;
  free(w);
  return root;
}

void remote_wake::free(remote_wake* w) noexcept { block_pool::deallocate(w, sizeof *w); }

run_queue* run_queue::current() noexcept { return queue_here; }

run_queue& run_queue::here() {
  if (queue_here == nullptr) throw std::system_error(errc::not_on_a_core);
  return *queue_here;
}

run_queue::entered::entered(run_queue& q) noexcept : before_(std::exchange(queue_here, &q)) {}

run_queue::entered::~entered() { queue_here = before_; }

}  // namespace weir
