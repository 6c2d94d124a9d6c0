#pragma once
// io: the bytes of one receive, in a buffer that is taken only when bytes are there.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "weir/base/detail/build.hpp"
#include "weir/task/detail/run_queue.hpp"

namespace weir {
namespace io {

class chunk_pool;

// A buffer: this header and `capacity` bytes behind it.
struct chunk_block {
  chunk_block* next;  // while it is free, or in a queue
  std::size_t size;   // of what was received
  chunk_pool* home;   // never null: chunk_pool::none(), for one that belongs to no pool
  std::size_t capacity;

  [[nodiscard]] std::byte* data() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  [[nodiscard]] static chunk_block* of(std::byte* data) noexcept {
    return reinterpret_cast<chunk_block*>(data) - 1;
  }

  // A buffer that belongs to no pool, for a message that is longer than a chunk. Null without memory.
  [[nodiscard]] static chunk_block* make(std::size_t capacity) noexcept;
  [[nodiscard]] static chunk_block* make(std::size_t capacity, chunk_pool& home) noexcept;
  static void free(chunk_block* block) noexcept;
  // Back to its pool, or freed.
  static void release(chunk_block* block) noexcept;
};

// Buffers of one size for one core, last in, first out, so that the buffer that is still in the cache is used
// again. Thread: the core's. Lifetime: outlives its chunks.
class chunk_pool {
 public:
  // Keeps at most `idle` unused buffers of `capacity` bytes, but always one; others are freed. `roaming`:
  // chunks may be destroyed on other threads; they belong to no pool then.
  chunk_pool(std::size_t capacity, std::size_t idle, bool roaming = false) noexcept
      : capacity_(capacity), idle_(build::pools ? idle : 0), roaming_(roaming) {}
  chunk_pool(const chunk_pool&) = delete;
  chunk_pool& operator=(const chunk_pool&) = delete;
  ~chunk_pool();

  // Frees what is given back to it. Any thread.
  [[nodiscard]] static chunk_pool& none() noexcept;

  // Errors: null when there is no memory.
  [[nodiscard]] chunk_block* take() noexcept {
    chunk_block* const block = take_last();
    return block != nullptr ? block : take_another();
  }

  // The same without a search: null if it takes one. find() brings a buffer there; false without memory.
  [[nodiscard]] chunk_block* take_last() noexcept {
    check_thread("taking a chunk");
    return std::exchange(last_, nullptr);
  }
  [[nodiscard]] bool find() noexcept {
    last_ = take_another();
    return last_ != nullptr;
  }

  // What take_last() would answer.
  [[nodiscard]] chunk_block* last() const noexcept { return last_; }

  void give_back(chunk_block* block) noexcept {
    check_thread("giving a chunk back");
    if (build::pools && last_ == nullptr) [[likely]] {
      last_ = block;
      return;
    }
    give_back_another(block);
  }

  // Whose thread it belongs to from now on, for the thread rule.
  void belongs_to(const run_queue* owner) noexcept { owner_ = owner; }

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  // Those that it has made and not freed. Roaming ones are not counted.
  [[nodiscard]] std::size_t allocated() const noexcept { return allocated_; }
  [[nodiscard]] std::size_t kept() const noexcept { return listed_ + (last_ != nullptr ? 1 : 0); }

 private:
  struct without_end;
  explicit constexpr chunk_pool(chunk_block& never_taken) noexcept
      : capacity_(0), idle_(0), roaming_(true), last_(&never_taken) {}
  [[nodiscard]] chunk_block* take_another() noexcept;
  void give_back_another(chunk_block* block) noexcept;

  void check_thread([[maybe_unused]] const char* what) const noexcept {
    if constexpr (build::checks)
      if (owner_ != nullptr) owner_->assert_thread(what);
  }

  std::size_t capacity_;
  std::size_t idle_;
  bool roaming_;
  const run_queue* owner_ = nullptr;
  // The one that was given back last, most often the only one: no link, no count.
  chunk_block* last_ = nullptr;
  std::size_t listed_ = 0;
  std::size_t allocated_ = 0;
  chunk_block* free_ = nullptr;
};

inline void chunk_block::release(chunk_block* block) noexcept { block->home->give_back(block); }

}  // namespace io

// The bytes of one receive. Empty at the end of the stream. As a condition it needs a name:
// `while (auto data = co_await client.receive())`.
// Thread: the core that received it; it is destroyed there. Lifetime: the bytes live as long as the chunk.
class chunk {
 public:
  using is_core_bound = void;  // no cross_channel takes it: see core_bound

  chunk() = default;
  // Takes over the block that `data` is the start of, with at least one byte.
  chunk(std::byte* data, std::size_t size) noexcept : data_(data) {
    if (data != nullptr) io::chunk_block::of(data)->size = size;
  }
  // The block knows the size.
  explicit chunk(std::byte* data) noexcept : data_(data) {}
  chunk(chunk&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}
  chunk& operator=(chunk&& other) noexcept {
    std::swap(data_, other.data_);
    return *this;
  }
  ~chunk() {
    if (data_ != nullptr) io::chunk_block::release(io::chunk_block::of(data_));
  }

  explicit operator bool() const& noexcept { return data_ != nullptr; }
  // The bytes of a chunk without a name are gone when its condition has been tested.
  template <std::same_as<bool> Bool>
  explicit operator Bool() const&& noexcept {
    static_assert(!std::same_as<Bool, bool>,
                  "a received chunk needs a name: `while (auto data = co_await client.receive())`");
    return data_ != nullptr;
  }
  [[nodiscard]] std::size_t size() const noexcept {
    return data_ == nullptr ? 0 : io::chunk_block::of(data_)->size;
  }
  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data_, size()}; }
  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(data_), size()};
  }

 private:
  std::byte* data_ = nullptr;
};

}  // namespace weir
