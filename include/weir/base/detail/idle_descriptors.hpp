#pragma once
// base: descriptors that are kept open only to save work, given back when the process has none left.

#include <functional>

namespace weir::detail {

// Problem: a cache of open files may hold the descriptor that the next client needs. A cache makes one of
// these; code that meets EMFILE or ENFILE calls release_idle_descriptors() and tries again.
// Thread: made and destroyed on any. Fork: each process has its own; none may exist before a fork.
class idle_descriptors {
 public:
  // `release` closes what is idle, or has it closed soon. It is called on any thread, and not after the
  // destructor: it must not block, and must not make or destroy an idle_descriptors.
  explicit idle_descriptors(std::function<void()> release);
  idle_descriptors(const idle_descriptors&) = delete;
  idle_descriptors& operator=(const idle_descriptors&) = delete;
  ~idle_descriptors();

 private:
  friend void release_idle_descriptors() noexcept;

  std::function<void()> release_;
};

// Any thread. For an operation that has failed with EMFILE or ENFILE.
void release_idle_descriptors() noexcept;

}  // namespace weir::detail
