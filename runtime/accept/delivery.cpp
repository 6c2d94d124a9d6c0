#include "weir/accept/detail/delivery.hpp"

#include <exception>
#include <utility>

namespace weir {

void delivery::operator()(accepted_socket s) noexcept {
  const peer_address peer = s.peer;
  try {
    to_(std::move(s));
  } catch (...) {
    dropped_.fetch_add(1, std::memory_order_relaxed);
    const char* const why = text_of_current_exception();
    try {
      if (const auto held_back = log_limit_.pass())
        log::error("connection from {} dropped: {} ({} more since the last line)", peer.to_string(), why,
                   *held_back);
    } catch (...) {  // without memory there is no line; the counter tells
    }
  }
}

const char* text_of_current_exception() noexcept {
  try {
    throw;
  } catch (const std::exception& e) {
    return e.what();  // lives as long as the exception, which the caller's catch block holds
  } catch (...) {
    return "an exception of unknown type";
  }
}

}  // namespace weir
