#pragma once
// kv: requests that have come together, and are run together.

#include <array>
#include <cstddef>
#include <cstdint>

#include "request_parser.hpp"

namespace kv {

struct command;

// Problem: a pipelined request spends its time waiting for memory that is in no cache. The keys of several
// requests are known before the first one runs, so their memory can be prefetched together.
class request_batch {
 public:
  static constexpr std::size_t most = 32;

  struct request {
    arguments words;
    std::size_t end;  // where it ends in the input
    // Found ahead, by the engine: the command, its first key, and the hash of that key.
    const command* what = nullptr;
    std::string_view key = {};
    std::uint64_t hash = 0;
  };

  // Keeps the places of the words, not the words. False: run it before anything else is parsed.
  bool add(const arguments& words, std::size_t end, bool is_in_place) noexcept {
    requests_[count_] = {.words = words, .end = end};
    const bool fits = is_in_place && words.size() <= slices_.size() - used_;
    if (fits) {
      requests_[count_].words = words.copied_to(slices_.data() + used_);
      used_ += words.size();
    }
    return ++count_ < most && fits;
  }
  void clear() noexcept { count_ = used_ = 0; }

  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] request& operator[](std::size_t i) noexcept { return requests_[i]; }
  [[nodiscard]] request* begin() noexcept { return requests_.data(); }
  [[nodiscard]] request* end() noexcept { return requests_.data() + count_; }

 private:
  std::array<request, most> requests_;
  std::array<arguments::slice, 4 * most> slices_;
  std::size_t count_ = 0;
  std::size_t used_ = 0;
};

}  // namespace kv
