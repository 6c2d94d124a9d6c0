#pragma once
// dump: where in its function a suspended coroutine goes on.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

namespace weir::dump {

// Problem: a frame holds the number of the suspension point, at a place and with a meaning that only the
// function itself knows: neither compiler writes that down. So the function is asked: a child process of this
// one, whose memory no other process sees, takes the first steps of the function over a copy of the frame,
// one instruction at a time, and is stopped where they leave what all suspension points share.
// Thread: one at a time; of a process with one thread, because it forks. Where that is not possible
// (ptrace(2) is forbidden, another processor) there are no steps. Errors: none.
class resume_point {
 public:
  static constexpr std::size_t most_of_frame = 16384;
  static constexpr int most_steps = 128;

  resume_point();
  resume_point(const resume_point&) = delete;
  resume_point& operator=(const resume_point&) = delete;
  ~resume_point();  // NOLINT(performance-trivially-destructible): only where there are no steps

  // Calls `goes_on` with each address that is reached, until it returns false. `function`: an address here.
  void follow(std::uintptr_t function, std::span<const std::byte> frame,
              const std::function<bool(std::uintptr_t)>& goes_on);

 private:
  void end() noexcept;

  std::byte* memory_ = nullptr;  // shared with the child: a stack, and behind it the frame
  ::pid_t child_ = 0;
};

}  // namespace weir::dump
