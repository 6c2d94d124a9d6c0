#pragma once
// core: a task that a core has for itself.

#include <utility>

#include "weir/core/core.hpp"

namespace weir {

// A root task of the core's own, in the list of those that have not ended.
class core::spawned final : public chain {
 public:
  spawned(core& home, task<> t);
  spawned(const spawned&) = delete;
  spawned& operator=(const spawned&) = delete;
  ~spawned();

  void finished() noexcept override;
  [[nodiscard]] bool is_native_to(const run_queue& q) const noexcept override {
    return &q == home_.driver_.get();
  }
  void turn() override;
  void name_into(chain_name& name) const noexcept override { name.root = resume_function_of(frame_); }

 private:
  friend dump::inspection;

  core& home_;
  std::coroutine_handle<task<>::promise_type> frame_;
  spawned* next_;
  spawned** link_;
};

}  // namespace weir
