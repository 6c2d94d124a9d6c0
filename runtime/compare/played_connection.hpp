#pragma once
// compare: a connection that plays a script.

#include <netinet/in.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "weir/base/unique_fd.hpp"
#include "weir/compare/detail/player.hpp"
#include "weir/compare/detail/redaction.hpp"

namespace weir::compare {

// Thread: one. Lifetime: its script outlives it.
class played_connection {
 public:
  using clock = std::chrono::steady_clock;

  // What was recorded at 0 is due at `from`; `percent`: see pace.
  // Errors: std::system_error without a socket.
  played_connection(const script& what, const sockaddr_in& to, clock::time_point from, unsigned percent);

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] bool has_all() const noexcept { return at_ == what_.steps.size(); }
  // Nothing more is to be done.
  [[nodiscard]] bool is_over(clock::time_point now) const noexcept {
    return broken_ || (has_all() && leaves_ <= now);
  }
  // When its next step is due, or it leaves.
  [[nodiscard]] clock::time_point next() const noexcept { return has_all() ? leaves_ : due_; }
  // A step that was due before `end` has no answer yet.
  [[nodiscard]] bool waits(clock::time_point end) const noexcept {
    return !broken_ && !has_all() && due_ < end;
  }
  [[nodiscard]] const std::optional<difference>& differs() const noexcept { return differs_; }

  // As far as the socket and what is due before `end` allow. After an event, and at next().
  // `latencies` gets what the steps took that are over.
  void go_on(clock::time_point now, clock::time_point end, std::vector<float>& latencies);
  void give_up_if_late(clock::time_point now) noexcept;
  // Of steps without an answer that were due before `end`.
  void add_unanswered(clock::time_point end, std::vector<clock::time_point>& dues) const;
  // What was not answered whole differs too.
  void judge_rest();

 private:
  void begin_step() noexcept;
  [[nodiscard]] clock::time_point time_of(std::chrono::microseconds recorded) const noexcept;
  [[nodiscard]] bool write_some();
  [[nodiscard]] bool read_some();
  void compare();
  void end_step(std::vector<float>& latencies);

  const script& what_;
  clock::time_point from_;
  unsigned percent_;
  unique_fd fd_;
  recording::redaction hides_;
  std::size_t at_ = 0;  // the step
  std::size_t sent_ = 0;
  std::string got_;         // of this step, and of later ones
  std::size_t before_ = 0;  // bytes of earlier steps
  clock::time_point due_{};
  clock::time_point begun_{};  // the step was due, and the one before answered
  clock::time_point leaves_{};
  bool broken_ = false;
  std::optional<difference> differs_;
};

}  // namespace weir::compare
