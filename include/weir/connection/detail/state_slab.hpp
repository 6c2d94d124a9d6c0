#pragma once
// connection: memory for the states of one core's connections.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

#include "weir/base/detail/build.hpp"
#include "weir/connection/detail/connection_state.hpp"

namespace weir {

// Problem: a table must find all of its connections, and each connection its table. With a list in the table,
// a place in it and a pointer back this takes 20 bytes of each connection, and what a list that grows leaves
// behind. Here the states of a table lie in slabs of its own, each at a multiple of its size: the slab knows
// the table, and which of its states are in use. With sanitizers a slab holds one state, so that the use of a
// state that is gone is seen.
// Thread: the table's. Lifetime: a state may outlive its table; the last one that leaves frees the slab, on
// any thread.
class state_slab {
 public:
  // Errors: std::bad_alloc.
  [[nodiscard]] static state_slab& make(connection_table& of, std::uint32_t place);

  // The slab in which a state lies that has, or had, a table.
  [[nodiscard]] static state_slab& of(const connection_state& c) noexcept {
    return *reinterpret_cast<state_slab*>(reinterpret_cast<std::uintptr_t>(&c) & ~(size - 1));
  }

  // Memory for a state, of a slab that is not full; and the end of it.
  [[nodiscard]] void* take() noexcept;
  void give_back(connection_state& c) noexcept;
  [[nodiscard]] bool is_full() const noexcept { return taken_ == most; }
  [[nodiscard]] bool is_empty() const noexcept { return taken_ == 0; }

  // The table is gone. Frees the slab if it is empty.
  void leave_to_orphans() noexcept;
  // For a state that is left, instead of give_back(): may free the slab.
  static void give_back_orphan(connection_state& c) noexcept;

  // The first state at `at` or behind it that is in use; null if there is none.
  [[nodiscard]] connection_state* first_from(std::size_t& at) const noexcept;

  [[nodiscard]] connection_table& table() const noexcept { return *table_; }
  std::uint32_t place;  // in the table's list

  static constexpr std::size_t size = build::pools ? 16384 : 512;
  static constexpr std::size_t header = 64;
  static constexpr std::size_t most = build::pools ? (size - header) / sizeof(connection_state) : 1;

 private:
  struct free_state {
    free_state* next;
  };

  state_slab(connection_table& of, std::uint32_t at) noexcept : place(at), table_(&of) {}
  ~state_slab() = default;
  void free() noexcept;
  [[nodiscard]] std::byte* state_at(std::size_t i) const noexcept {
    return const_cast<std::byte*>(reinterpret_cast<const std::byte*>(this)) + header +
           i * sizeof(connection_state);
  }
  [[nodiscard]] std::size_t index_of(const void* state) const noexcept {
    return static_cast<std::size_t>(static_cast<const std::byte*>(state) - state_at(0)) /
           sizeof(connection_state);
  }

  std::uint16_t taken_ = 0;
  std::uint16_t fresh_ = 0;  // states from here on were never used
  connection_table* table_;
  free_state* free_ = nullptr;
  std::array<std::uint64_t, (most + 63) / 64> used_{};
  std::atomic<std::uint32_t> orphans_{0};
};

static_assert(sizeof(state_slab) <= state_slab::header &&
              state_slab::header + state_slab::most * sizeof(connection_state) <= state_slab::size);

// The connections of a table, in no order. One that is opened meanwhile may be left out.
class open_connections {
 public:
  class iterator {
   public:
    using value_type = connection_state*;
    using difference_type = std::ptrdiff_t;

    iterator() = default;
    connection_state* operator*() const noexcept { return at_; }
    iterator& operator++() noexcept {
      ++state_;
      find();
      return *this;
    }
    iterator operator++(int) noexcept {
      iterator before = *this;
      ++*this;
      return before;
    }
    bool operator==(const iterator& other) const noexcept { return at_ == other.at_; }

   private:
    friend open_connections;
    explicit iterator(const std::vector<state_slab*>& in) noexcept : in_(&in) { find(); }
    void find() noexcept {
      at_ = nullptr;
      for (; slab_ < in_->size() && (at_ = (*in_)[slab_]->first_from(state_)) == nullptr; ++slab_) state_ = 0;
    }

    const std::vector<state_slab*>* in_ = nullptr;
    std::size_t slab_ = 0;
    std::size_t state_ = 0;
    connection_state* at_ = nullptr;
  };

  open_connections(const std::vector<state_slab*>& in, std::size_t count) noexcept
      : in_(&in), count_(count) {}
  [[nodiscard]] iterator begin() const noexcept { return iterator(*in_); }
  [[nodiscard]] static iterator end() noexcept { return {}; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }

 private:
  const std::vector<state_slab*>* in_;
  std::size_t count_;
};

}  // namespace weir
