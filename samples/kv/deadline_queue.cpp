#include "deadline_queue.hpp"

#include <algorithm>

namespace kv {
namespace {

constexpr std::size_t children = 4;  // half as deep as with two, and siblings lie beside each other

}  // namespace

void deadline_queue::put(std::size_t place, item* it) noexcept {
  heap_[place] = it;
  it->due().place = static_cast<std::uint32_t>(place);
}

void deadline_queue::up(std::size_t place, item* it) noexcept {
  while (place > 0) {
    const std::size_t parent = (place - 1) / children;
    if (heap_[parent]->due().at <= it->due().at) break;
    put(place, heap_[parent]);
    place = parent;
  }
  put(place, it);
}

void deadline_queue::down(std::size_t place, item* it) noexcept {
  for (;;) {
    const std::size_t first = place * children + 1;
    if (first >= heap_.size()) break;
    std::size_t earliest = first;
    for (std::size_t i = first + 1; i < std::min(first + children, heap_.size()); ++i)
      if (heap_[i]->due().at < heap_[earliest]->due().at) earliest = i;
    if (it->due().at <= heap_[earliest]->due().at) break;
    put(place, heap_[earliest]);
    place = earliest;
  }
  put(place, it);
}

void deadline_queue::add(item& it) {
  heap_.push_back(&it);
  up(heap_.size() - 1, &it);
}

void deadline_queue::remove(item& it) noexcept {
  const std::size_t place = it.due().place;
  item* const last = heap_.back();
  heap_.pop_back();
  if (last == &it) return;
  put(place, last);
  moved(*last);
}

void deadline_queue::moved(item& it) noexcept {
  const std::size_t place = it.due().place;
  if (place > 0 && heap_[(place - 1) / children]->due().at > it.due().at)
    up(place, &it);
  else
    down(place, &it);
}

}  // namespace kv
