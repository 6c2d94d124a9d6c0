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
    if (root.is_queued()) return false;
    root.next_in_queue_ = nullptr;
    root.link_in_queue_ = tail_;
    *tail_ = &root;
    tail_ = &root.next_in_queue_;
    ++size_;
    return true;
  }

  // Of a list that is not empty.
  chain& pop() noexcept {
    chain& root = *head_;
    take_out(root);
    return root;
  }

  // Nothing if it is not queued. Takes as long for a long list as for a short one.
  void remove(chain& root) noexcept {
    if (root.is_queued()) take_out(root);
  }

  template <class Before>
  void run(std::size_t turns, Before before) {
    run(turns, false, before);
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  // Gives one turn to each chain that is queued now, and further ones up to `turns` unless a turn sets
  // `enough`. Calls `before` with the chain before each turn. A turn may destroy its chain.
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
  void take_out(chain& root) noexcept {
    *root.link_in_queue_ = root.next_in_queue_;
    if (root.next_in_queue_ != nullptr)
      root.next_in_queue_->link_in_queue_ = root.link_in_queue_;
    else
      tail_ = root.link_in_queue_;
    root.link_in_queue_ = nullptr;
    --size_;
  }

  chain* head_ = nullptr;
  chain** tail_ = &head_;
  std::size_t size_ = 0;
};

}  // namespace weir
