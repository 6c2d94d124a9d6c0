// How receive() goes on where a ring completes it.
#include "kinds.hpp"

namespace weir::detail {

[[gnu::noinline]] void finish_with_kept(operation& op, std::uintptr_t answer) {
  connection_state& c = *static_cast<connection_operation&>(op).on;
  ring_of(c).keep_received(c, reinterpret_cast<io::chunk_block*>(answer));
  operation_kind::advance_by_kind(op);
}

namespace {

bool take_received(operation& op) noexcept {
  auto& self = static_cast<receive_operation&>(op);
  connection_state& c = *self.on;
  if (c.end != ending::none) [[unlikely]]
    return receive_end(self);
  c.reading = nullptr;
  io::chunk_block* block = nullptr;
  const long n = ring_of(c).receive(c, block);
  if (n > 0) [[likely]] {
    self.answer = reinterpret_cast<std::uintptr_t>(block->data());
    c.heard = io::descriptor::hearing::since_wait;
    return true;
  }
  if (ended(c, n, true)) return receive_nothing(self, 0);
  self.park_reading();
  return false;
}

}  // namespace

void finish_receive(operation& op, std::uintptr_t answer) {
  auto& self = static_cast<receive_operation&>(op);
  connection_state& c = *self.on;
  auto* const block = reinterpret_cast<io::chunk_block*>(answer);
  if (c.end != ending::none) [[unlikely]]
    return finish_with_kept(op, answer);
  c.reading = nullptr;
  c.heard = io::descriptor::hearing::since_wait;
  self.answer = reinterpret_cast<std::uintptr_t>(block->data());
  operation_kind::resume(op);
}

// What a cancelled one would have got is kept for the next.
const operation_kind kind_of_ring_receive{.proceed = take_received,
                                          .cancel = cancel_receive,
                                          .advance = operation_kind::advance_by<take_received>,
                                          .completed = &kind_of_ring_receive,
                                          .finish = finish_receive,
                                          .drop = drop_received};

}  // namespace weir::detail
