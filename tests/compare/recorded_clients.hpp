#pragma once
// tests: recordings that a test writes, by the building blocks of the recorder.

#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/compare/detail/recording.hpp"

namespace test {

// What a client says, and what it is answered.
using exchanges = std::vector<std::pair<std::string, std::string>>;

class recorded_clients {
 public:
  // `answers`: whether the answers are recorded too.
  explicit recorded_clients(bool answers = true)
      : text_(weir::recording::session_block(7, {.began = 1'000'000, .answers = answers})),
        answers_(answers) {}

  // A client that comes at `at`, speaks each `step`, and ends its output then. A block of the recording.
  recorded_clients& add(std::chrono::microseconds at, std::chrono::microseconds step, const exchanges& all) {
    using weir::recording::event;
    std::string events;
    const auto tell = [&](event::kind what, std::string_view bytes) {
      weir::recording::append_event(events, what, connections_, at, bytes);
    };
    tell(event::kind::begin, std::string_view("\0", 1));
    for (const auto& [question, answer] : all) {
      at += step;
      tell(event::kind::received, question);
      if (answers_ && !answer.empty()) tell(event::kind::sent, answer);
    }
    at += step;
    tell(event::kind::input_ended, {});
    tell(event::kind::end, {});
    ++connections_;
    text_ += weir::recording::events_block(7, ++blocks_, events);
    return *this;
  }

  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  [[nodiscard]] weir::recording::content content() const { return weir::recording::parse(text_); }

 private:
  std::string text_;
  bool answers_;
  std::uint32_t connections_ = 0;
  std::uint32_t blocks_ = 0;
};

}  // namespace test
