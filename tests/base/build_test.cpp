#include "weir/base/detail/build.hpp"

#include <catch2/catch.hpp>

#include <coroutine>
#include <cstdint>
#include <utility>

using namespace weir;

namespace {

// A coroutine without weir's bounds: what is measured is the compiler.
struct bare {
  struct promise_type {
    bare get_return_object() noexcept { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    struct to_next {
      bool await_ready() const noexcept { return false; }
      std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) const noexcept {
        return h.promise().next;
      }
      void await_resume() const noexcept {}
    };
    to_next final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept {}
    std::coroutine_handle<> next = std::noop_coroutine();
  };
  std::coroutine_handle<promise_type> frame;
};

[[gnu::noinline]] void note_stack(std::uintptr_t* at) {
  *at = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
}

bare note(std::uintptr_t* at) {
  note_stack(at);
  co_return;
}

}  // namespace

TEST_CASE("where the build promises tail calls, symmetric transfer leaves no stack behind") {
  constexpr std::size_t links = 200;
  std::uintptr_t at[links] = {};
  bare line[links];
  for (std::size_t i = 0; i < links; ++i) line[i] = note(&at[i]);
  for (std::size_t i = 0; i + 1 < links; ++i) line[i].frame.promise().next = line[i + 1].frame;
  line[0].frame.resume();
  for (auto& each : line) {
    CHECK(each.frame.done());
    each.frame.destroy();
  }
  const auto grown = at[0] - at[links - 1];
  CAPTURE(grown);
  if (build::tail_calls) CHECK(grown < 1024);
}

TEST_CASE("a build with a sanitizer recycles no memory and promises no tail calls") {
  if (!build::sanitized) return;
  CHECK_FALSE(build::pools);
  CHECK_FALSE(build::tail_calls);
}
