#pragma once
// kv: which item expires next.

#include <cstddef>
#include <deque>

#include "item.hpp"

namespace kv {

// Problem: expired items must be removed although no client asks for them, without a walk through the others.
// A heap of those that have a deadline: the next one is at the top, and each item knows its place. A deque,
// because it grows without moving what it holds.
class deadline_queue {
 public:
  [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return heap_.size(); }
  [[nodiscard]] item& next() const noexcept { return *heap_.front(); }

  // Errors: std::bad_alloc, and nothing has changed.
  void add(item& it);
  void remove(item& it) noexcept;
  // The deadline of an item in the queue has changed.
  void moved(item& it) noexcept;
  // An item in the queue has another address.
  void relocated(item& it) noexcept { heap_[it.due().place] = &it; }
  void clear() noexcept { heap_.clear(); }

 private:
  void put(std::size_t place, item* it) noexcept;
  void up(std::size_t place, item* it) noexcept;
  void down(std::size_t place, item* it) noexcept;

  std::deque<item*> heap_;
};

}  // namespace kv
