#pragma once
// process: messages that a channel could not take at once.

#include <deque>

#include "weir/process/detail/descriptor_channel.hpp"

namespace weir::process {

// Problem: a channel is full while the process at its other end is stopped or slow, and a message that is
// dropped then is never sent again: a connection stays open, a listener is not watched any more. Here such a
// message is kept, and sent in its order when the channel is writable. Messages that carry a descriptor are
// not kept here: their sender keeps the descriptor anyway. What is kept is bounded: a message that repeats
// the last one replaces it or is added to it, and every other one is an answer to something that the other
// end has sent. Thread: one.
class outgoing_messages {
 public:
  // Sends `m` behind all that is kept, or keeps it. `full`: it is kept. `gone`: the other end has closed, and
  // nothing is kept any more. Errors: std::bad_alloc.
  descriptor_channel::sent send(descriptor_channel& to, const message& m);

  // Sends what is kept, as far as the channel takes it. True if nothing is left.
  bool flush(descriptor_channel& to) noexcept;

  [[nodiscard]] bool empty() const noexcept { return kept_.empty(); }

 private:
  std::deque<message> kept_;
};

}  // namespace weir::process
