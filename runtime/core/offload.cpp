#include "weir/core/offload.hpp"

namespace weir::detail {

void offload_operation::start(chain& waiting) {
  offload_ticket& t = **ticket;
  t.home_ = &waiting.home();
  t.wake_ = remote_wake::make(waiting, &t.wake_);
  if (pool->submit(*ticket)) return;
  remote_wake::free(std::exchange(t.wake_, nullptr));
  throw std::system_error(errc::overloaded, "offload");
}

bool offload_operation::cancel(operation& op, int) noexcept {
  auto& self = static_cast<offload_operation&>(op);
  offload_ticket& t = **self.ticket;
  // If it has started, the wake-up is delivered all the same, later, and finds nobody.
  if (t.wake_ != nullptr && !self.pool->withdraw(t)) t.wake_->root = nullptr;
  self.cancelled = true;
  return true;
}

}  // namespace weir::detail
