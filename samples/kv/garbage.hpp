#pragma once
// kv: what takes long to free, to be freed on another thread.

#include <vector>

#include "deadline_queue.hpp"
#include "hashing/key_table.hpp"
#include "item.hpp"

namespace kv {

// Problem: to give hundreds of megabytes back to the system, or a million items to the allocator, takes a
// tenth of a second and more, in which a loop serves no client.
// Thread: any, one at a time.
class garbage {
 public:
  // Bytes of an item from which on it is worth a trip to another thread.
  static constexpr std::size_t least = std::size_t{1} << 20;

  garbage() = default;
  garbage(const garbage&) = delete;
  garbage& operator=(const garbage&) = delete;
  ~garbage() { free(); }

  // Errors: std::bad_alloc, and the item is the caller's.
  void add(item* it) { items_.push_back(it); }
  // All the items of a table, which is moved from. Errors: std::bad_alloc, and it is as it was.
  void add(hashing::key_table<item>& table, deadline_queue& deadlines);

  // Frees everything, a part at a time, so that another thread is not kept from memory for long.
  void free() noexcept;

 private:
  struct contents {
    hashing::key_table<item> table;
    deadline_queue deadlines;
  };
  std::vector<item*> items_;
  std::vector<contents> tables_;
};

}  // namespace kv
