#pragma once
// kv: the requests between MULTI and EXEC.

#include <cstddef>
#include <string>
#include <vector>

#include "request_parser.hpp"

namespace kv {

struct command;

// Keeps the words of requests, which their own memory does not outlive.
class transaction {
 public:
  static constexpr std::size_t most_bytes = std::size_t{1} << 30;

  // False: that would be too much. Errors: std::bad_alloc, and nothing has changed that counts.
  [[nodiscard]] bool add(const command& what, const arguments& words);

  [[nodiscard]] std::size_t size() const noexcept { return requests_.size(); }
  [[nodiscard]] const command& what(std::size_t i) const noexcept { return *requests_[i].what; }
  [[nodiscard]] arguments words(std::size_t i) const noexcept {
    return {text_.data(), slices_.data() + requests_[i].first, requests_[i].count};
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return text_.size(); }

  bool is_broken = false;  // a request was refused: EXEC runs none

 private:
  struct request {
    const command* what;
    std::size_t first;
    std::size_t count;
  };
  std::string text_;
  std::vector<arguments::slice> slices_;
  std::vector<request> requests_;
};

}  // namespace kv
