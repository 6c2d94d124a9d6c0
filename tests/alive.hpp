#pragma once
// tests: tasks that wait, counted while their frames live, and who cancels them.

#include <chrono>
#include <system_error>

#include "weir/core/sleep.hpp"
#include "weir/task/detail/chain.hpp"
#include "weir/task/task.hpp"

namespace test {

// Counts how many of it live: in a frame, the frame.
struct alive {
  explicit alive(int* n) : count(n) { ++*count; }
  alive(alive&& other) noexcept : count(other.count) { ++*count; }
  alive(const alive&) = delete;
  alive& operator=(const alive&) = delete;
  ~alive() { --*count; }
  int* count;
};

// Sleeps for longer than any test.
inline weir::task<> sleep_long(int* living) {
  const alive here(living);
  co_await weir::sleep_for(std::chrono::hours(1));
}

inline weir::task<> sleep_for_ever(int* living) {
  const alive here(living);
  for (;;) co_await weir::sleep_for(std::chrono::hours(1));
}

// From within the loop, as cancelling ends the present wait only there.
inline weir::task<> cancel(weir::chain* c) {
  c->cancel();
  co_return;
}

inline std::error_code cancelled() { return std::make_error_code(std::errc::operation_canceled); }

}  // namespace test
