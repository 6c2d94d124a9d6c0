#pragma once
// admin: the figures of a server, added up for each of its loops.

#include <cstdint>
#include <span>
#include <vector>

#include "weir/config/settings.hpp"
#include "weir/observe/detail/ledger.hpp"

namespace weir::admin {

// What the loops of one worker, core and model have counted, one after another and side by side.
struct place {
  static constexpr std::uint16_t threads = UINT16_MAX;  // instead of a core: all threads of that worker

  std::uint16_t worker = 0;
  std::uint16_t core = 0;
  model_kind model{};
  std::uint32_t live = 0;  // loops or threads that have not ended: two of a loop during a reload
  observe::figures sums{};
  std::span<const observe::block* const> blocks{};  // of its loops; a thread measures nothing by itself
  std::uint64_t ended_by_threads = 0;               // of its connections, where handlers run on other threads

  [[nodiscard]] std::uint64_t operator[](observe::figure f) const noexcept { return sums[f].read(); }
  // Connections that have ended, counted here.
  [[nodiscard]] std::uint64_t ended() const noexcept;
  // Connections that are open: every one that was begun ends, here or on a thread.
  [[nodiscard]] std::uint64_t open() const noexcept;
  [[nodiscard]] observe::histogram_view measured(observe::measure m) const noexcept;
};

// All places, in the order of workers, their cores and models.
// Thread: any. Lifetime: within that of the ledger.
class places {
 public:
  // As they are now. Errors: std::bad_alloc.
  explicit places(const observe::ledger& from);
  places(const places&) = delete;
  places& operator=(const places&) = delete;
  ~places() = default;

  [[nodiscard]] auto begin() const noexcept { return all_.begin(); }
  [[nodiscard]] auto end() const noexcept { return all_.end(); }

  // Their models, each once. Errors: std::bad_alloc.
  [[nodiscard]] std::vector<model_kind> models() const;
  // The measurements of all, and of those of one model.
  [[nodiscard]] observe::histogram_view measured(observe::measure m) const noexcept;
  [[nodiscard]] observe::histogram_view measured(observe::measure m, model_kind only) const noexcept;
  [[nodiscard]] std::uint64_t sum(observe::figure f) const noexcept;
  // A figure of listeners. Workers that share a listener all see the same queue.
  [[nodiscard]] std::uint64_t of_listeners(observe::figure f, accept_kind how) const noexcept;

 private:
  void give_ends_to_loops() noexcept;

  std::vector<const observe::block*> blocks_;
  std::vector<place> all_;
};

}  // namespace weir::admin
