#include "weir/core/offload.hpp"

namespace weir::detail {

void offload_ticket::let_go() noexcept {
  if (!away_) {
    delete this;
    return;
  }
  let_go_ = true;
  at_->add_own_work();
}

chain* offload_ticket::come_home(remote_wake* w) noexcept {
  auto* const self = static_cast<offload_ticket*>(w);
  self->away_ = false;
  if (!self->let_go_) return self->root;
  core& at = *self->at_;
  delete self;
  at.end_own_work();
  return nullptr;
}

void offload_operation::start(chain& waiting) {
  offload_ticket& t = *ticket;
  t.root = &waiting;
  t.home_ = &waiting.home();
  t.keeps_home_ = t.home_->keep_alive();
  // A job that comes home at once is received by this thread, and so not before this function has returned.
  if (!t.at_->offload_threads().submit(t, t.at_)) throw std::system_error(errc::overloaded, "offload");
  t.away_ = true;
}

bool offload_operation::cancel(operation& op, int) noexcept {
  auto& self = static_cast<offload_operation&>(op);
  offload_ticket& t = *self.ticket;
  if (t.away_) {
    t.root = nullptr;  // if it has started, it comes home later and wakes no chain
    if (t.at_->offload_threads().withdraw(t)) t.away_ = false;
  }
  self.cancelled = true;
  return true;
}

}  // namespace weir::detail
