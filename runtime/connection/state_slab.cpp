#include "weir/connection/detail/state_slab.hpp"

#include <bit>
#include <cstdlib>
#include <mutex>
#include <new>
#include <utility>

namespace weir {
namespace {

// Memory for slabs is taken for many at a time, because each aligned allocation touches two pages besides. It
// is never given back to the system, and never destroyed: handles may outlive everything.
class slab_memory {
 public:
  static slab_memory& instance() {
    static auto* const all = new slab_memory;
    return *all;
  }

  void* take() {
    if (!build::pools) return made(state_slab::size);
    const std::lock_guard lock(mutex_);
    if (free_ != nullptr) return std::exchange(free_, free_->next);
    if (left_ == 0) {
      fresh_ = static_cast<std::byte*>(made(at_once * state_slab::size));
      left_ = at_once;
    }
    --left_;
    return std::exchange(fresh_, fresh_ + state_slab::size);
  }

  void give_back(void* slab) noexcept {
    if (!build::pools) return std::free(slab);
    const std::lock_guard lock(mutex_);
    free_ = new (slab) free_slab{free_};
  }

 private:
  struct free_slab {
    free_slab* next;
  };
  static constexpr std::size_t at_once = 64;

  static void* made(std::size_t bytes) {
    void* const memory = std::aligned_alloc(state_slab::size, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
  }

  std::mutex mutex_;
  free_slab* free_ = nullptr;
  std::byte* fresh_ = nullptr;  // never used
  std::size_t left_ = 0;
};

}  // namespace

state_slab& state_slab::make(connection_table& of, std::uint32_t place) {
  return *new (slab_memory::instance().take()) state_slab(of, place);
}

void state_slab::free() noexcept {
  this->~state_slab();
  slab_memory::instance().give_back(this);
}

void* state_slab::take() noexcept {
  ++taken_;
  void* const state =
      free_ != nullptr ? std::exchange(free_, free_->next) : static_cast<void*>(state_at(fresh_++));
  const std::size_t i = index_of(state);
  used_[i / 64] |= std::uint64_t{1} << i % 64;
  return state;
}

void state_slab::give_back(connection_state& c) noexcept {
  const std::size_t i = index_of(&c);
  c.~connection_state();
  used_[i / 64] &= ~(std::uint64_t{1} << i % 64);
  free_ = new (state_at(i)) free_state{free_};
  --taken_;
}

void state_slab::leave_to_orphans() noexcept {
  table_ = nullptr;
  if (is_empty()) return free();
  orphans_.store(taken_, std::memory_order_release);
}

void state_slab::give_back_orphan(connection_state& c) noexcept {
  state_slab& slab = of(c);
  c.~connection_state();
  if (slab.orphans_.fetch_sub(1, std::memory_order_acq_rel) == 1) slab.free();
}

connection_state* state_slab::first_from(std::size_t& at) const noexcept {
  for (; at < most; at = (at / 64 + 1) * 64) {
    const std::uint64_t left = used_[at / 64] >> at % 64;
    if (left == 0) continue;
    at += static_cast<std::size_t>(std::countr_zero(left));
    return std::launder(reinterpret_cast<connection_state*>(state_at(at)));
  }
  return nullptr;
}

}  // namespace weir
