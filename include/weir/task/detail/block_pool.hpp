#pragma once
// task: memory for coroutine frames and connection states: a free list per size and thread.

#include <cstddef>

namespace weir {

// Problem: a coroutine frame is allocated per call and is small; a general allocator spends more on it
// than the call itself. Here a block comes from a free list of the calling thread (a dozen instructions,
// no lock) and goes back to the thread that it came from: at once when freed there, else through that
// thread's remote list, a lock-free stack that the owner empties when its own list runs dry.
//
// Blocks up to 2 KiB come in steps of 16 bytes from 64 KiB slabs and have no header; larger ones are plain
// operator new. Slabs are never given back. The pool of a thread that ended is taken over by the next
// thread that starts, so that a block may outlive its thread.
// Thread: any. Errors: std::bad_alloc.
struct block_pool {
  [[nodiscard]] static void* allocate(std::size_t size);
  static void deallocate(void* block, std::size_t size) noexcept;

  // Those of all slabs.
  [[nodiscard]] static std::size_t bytes() noexcept;
};

}  // namespace weir
