#pragma once
// task: chains in the order in which they get their turn.

#include <cstddef>

#include "weir/task/detail/chain.hpp"

namespace weir {

// Intrusive; a chain is in one list at most. Thread: one.
class chain_list {
 public:
  chain_list() = default;
  chain_list(const chain_list&) = delete;
  chain_list& operator=(const chain_list&) = delete;

  // False if it is queued already.
  bool push(chain& root) noexcept {
    if (root.queued) return false;
    root.queued = true;
    root.next_in_queue = nullptr;
    *tail_ = &root;
    tail_ = &root.next_in_queue;
    ++size_;
    return true;
  }

  // Of a list that is not empty.
  chain& pop() noexcept {
    chain& root = *head_;
    head_ = root.next_in_queue;
    if (head_ == nullptr) tail_ = &head_;
    --size_;
    root.queued = false;
    return root;
  }

  // Nothing if it is not queued.
  void remove(chain& root) noexcept {
    if (!root.queued) return;
    for (chain** at = &head_; *at != nullptr; at = &(*at)->next_in_queue) {
      if (*at != &root) continue;
      *at = root.next_in_queue;
      if (tail_ == &root.next_in_queue) tail_ = at;
      root.queued = false;
      --size_;
      return;
    }
  }

  template <class Before>
  void run(std::size_t turns, Before before) {
    run(turns, false, before);
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  // Gives one turn to each chain that is queued now, and further ones up to `turns` unless a turn sets `enough`.
  // `before` is told whose turn it is.
  template <class Before>
  void run(std::size_t turns, const bool& enough, Before before) {
    const std::size_t queued_now = size_;
    for (std::size_t n = 0; size_ > 0 && (n < queued_now || (n < turns && !enough)); ++n) {
      chain& root = pop();
      before(root);
      root.turn();
    }
  }

 private:
  chain* head_ = nullptr;
  chain** tail_ = &head_;
  std::size_t size_ = 0;
};

}  // namespace weir
