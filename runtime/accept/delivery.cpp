#include "weir/accept/detail/delivery.hpp"

#include <utility>

#include "weir/base/error.hpp"

namespace weir {

void delivery::operator()(accepted_socket s) noexcept {
  const peer_address peer = s.peer;
  try {
    to_(std::move(s));
  } catch (...) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    const char* const why = text_of_current_exception();
    if (const auto held_back = log_limit_.pass())
      log::error("connection from {} dropped: {} ({} more since the last line)", peer, why, *held_back);
  }
}

}  // namespace weir
