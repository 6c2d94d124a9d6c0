#include "weir/connection/detail/unattended_wait.hpp"

#include <new>
#include <utility>

#include "weir/connection/detail/connection_state.hpp"

namespace weir {

unattended_wait::unattended_wait(connection_state& on) noexcept
    : chain(*on.driver), operation(kind_of_wait), on_(&on) {
  operation::root = this;
}

unattended_wait* unattended_wait::make(connection_state& on) noexcept {
  try {
    return new (block_pool::allocate(sizeof(unattended_wait))) unattended_wait(on);
  } catch (...) {
    return nullptr;
  }
}

void unattended_wait::park() noexcept {
  on_->readable = false;
  on_->driver->park_reading(*on_, *this);
}

// Called by the driver. The event may free this object.
bool unattended_wait::has_input(operation& op) noexcept {
  connection_state& on = *static_cast<unattended_wait&>(op).on_;
  on.reading = nullptr;
  on.on(connection_event::input);
  return false;  // there is no coroutine to resume
}

void unattended_wait::turn() {
  if (on_ != nullptr) return on_->on(connection_event::input);
  home().now_runs(nullptr);  // a stall report must not describe it any more
  destroy();
}

void unattended_wait::detach() noexcept {
  if (on_ != nullptr && on_->reading == this) on_->reading = nullptr;
  on_ = nullptr;
}

void unattended_wait::retire() noexcept {
  detach();
  schedule();
}

void unattended_wait::destroy() noexcept {
  detach();
  home().unschedule(*this);
  this->~unattended_wait();
  block_pool::deallocate(this, sizeof(unattended_wait));
}

void unattended_wait::describe(char* text, std::size_t size) const noexcept {
  if (on_ != nullptr)
    on_->describe(text, size);
  else
    chain::describe(text, size);
}

}  // namespace weir
