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

// The driver schedules this chain after it.
bool unattended_wait::failed(operation& op, int /*error*/) noexcept {
  auto& self = static_cast<unattended_wait&>(op);
  self.failed_ = true;
  if (self.on_->reading == &op) self.on_->reading = nullptr;
  return true;
}

void unattended_wait::turn() {
  on_->on(failed_ ? connection_event::wait_failed : connection_event::input);  // may free this object
}

void unattended_wait::end() noexcept {
  if (on_->reading == this) on_->reading = nullptr;
  home().unschedule(*this);
  if (home().running() == this) home().now_runs(nullptr);  // a stall report must not look at it any more
  this->~unattended_wait();
  block_pool::deallocate(this, sizeof(unattended_wait));
}

void unattended_wait::describe(char* text, std::size_t size) const noexcept { on_->describe(text, size); }

parked_wait::parked_wait(connection_state& on) noexcept : operation(kind_of_parked) { root = &on; }

parked_wait* parked_wait::make(connection_state& on) noexcept {
  try {
    return new (block_pool::allocate(sizeof(parked_wait))) parked_wait(on);
  } catch (...) {
    return nullptr;
  }
}

connection_state& parked_wait::connection_of(operation& op) noexcept {
  return static_cast<connection_state&>(*op.root);
}

void parked_wait::park() noexcept {
  connection_state& on = connection_of(*this);
  on.readable = false;
  on.driver->park_reading(on, *this);
}

// Called by the driver. The event may free this object.
bool parked_wait::has_input(operation& op) noexcept {
  connection_state& on = connection_of(op);
  on.reading = nullptr;
  on.on(connection_event::input);
  return false;  // there is no coroutine to resume
}

// The driver gives the connection a turn after it.
bool parked_wait::failed(operation& op, int /*error*/) noexcept {
  connection_state& on = connection_of(op);
  on.parked_wait_failed_ = true;
  if (on.reading == &op) on.reading = nullptr;
  return true;
}

void parked_wait::end() noexcept {
  connection_state& on = connection_of(*this);
  on.parked_wait_failed_ = false;
  if (on.reading == this) on.reading = nullptr;
  on.driver->unschedule(on);
  this->~parked_wait();
  block_pool::deallocate(this, sizeof(parked_wait));
}

}  // namespace weir
