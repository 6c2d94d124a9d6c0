#pragma once
// base: memory for handlers that are given to Asio, taken before it is needed.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <new>
#include <utility>

namespace weir {

// Problem: Asio takes memory for each handler that waits. Without memory a post throws, in places where
// nothing else can fail, and a chain of handlers that each start the next wait ends for good. Here up to
// `Count` handlers have memory of their own; only further or larger ones take it from the heap. Thread: any.
// Lifetime: may go before its handlers do; the last of them frees the memory.
template <std::size_t Count = 1>
class handler_memory {
 public:
  static constexpr std::size_t most = 256;  // bytes of one

  // What handlers refer to.
  class block {
   public:
    // Errors: std::bad_alloc, beyond `Count`.
    [[nodiscard]] void* take(std::size_t size) {
      users_.fetch_add(1, std::memory_order_relaxed);
      if (size <= most)
        for (place& p : places_)
          if (!p.taken.exchange(true, std::memory_order_acquire)) return p.bytes;
      void* const memory = ::operator new(size, std::nothrow);
      if (memory != nullptr) return memory;
      let_go();
      throw std::bad_alloc();
    }
    void give_back(void* memory) noexcept {
      const auto own =
          std::find_if(places_.begin(), places_.end(), [&](place& p) { return memory == p.bytes; });
      if (own != places_.end())
        own->taken.store(false, std::memory_order_release);
      else
        ::operator delete(memory);
      let_go();
    }
    void let_go() noexcept {
      if (users_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

   private:
    struct place {
      alignas(std::max_align_t) std::byte bytes[most];
      std::atomic<bool> taken{false};
    };
    std::array<place, Count> places_;
    std::atomic<std::size_t> users_{1};  // the owner, and the handlers
  };

  // Errors: std::bad_alloc.
  handler_memory() : block_(new block) {}
  handler_memory(const handler_memory&) = delete;
  handler_memory& operator=(const handler_memory&) = delete;
  ~handler_memory() { block_->let_go(); }

  [[nodiscard]] block& memory() const noexcept { return *block_; }

 private:
  block* block_;
};

namespace detail {

template <class T, class Block>
struct handler_allocator {
  using value_type = T;
  explicit handler_allocator(Block& b) noexcept : block(&b) {}
  template <class U>
  handler_allocator(const handler_allocator<U, Block>& other) noexcept : block(other.block) {}
  [[nodiscard]] T* allocate(std::size_t n) { return static_cast<T*>(block->take(n * sizeof(T))); }
  void deallocate(T* p, std::size_t) noexcept { block->give_back(p); }
  template <class U>
  struct rebind {
    using other = handler_allocator<U, Block>;
  };
  bool operator==(const handler_allocator&) const = default;
  Block* block;
};

template <class F, class Block>
struct kept_handler {
  using allocator_type = handler_allocator<std::byte, Block>;
  [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator; }
  template <class... Args>
  void operator()(Args&&... args) {
    f(std::forward<Args>(args)...);
  }
  allocator_type allocator;
  F f;
};

}  // namespace detail

// The handler `f`, for which Asio takes memory from `m`.
template <std::size_t Count, class F>
[[nodiscard]] auto kept_in(handler_memory<Count>& m, F f) {
  using block = typename handler_memory<Count>::block;
  return detail::kept_handler<F, block>{detail::handler_allocator<std::byte, block>(m.memory()),
                                        std::move(f)};
}

}  // namespace weir
