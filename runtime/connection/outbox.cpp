#include "weir/connection/outbox.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

namespace weir {

outbox::flush_operation::flush_operation(outbox& o) noexcept : operation(outbox::kind), from(&o) {
  root = &o;
}

outbox::outbox(connection& to, std::size_t limit) noexcept
    : chain(*to.state().driver), state_(&to.state()), limit_(limit), operation_(*this) {
  state_->child_group_added();  // it sends from this thread
  io::timer::fire = [](io::timer& t) noexcept { static_cast<outbox&>(t).schedule(); };
}

outbox::~outbox() {
  home().unschedule(*this);
  timers().disarm(*this);
  if (state_->writing == &operation_) state_->writing = nullptr;
  state_->child_group_removed();
}

bool outbox::post(shared_message m) {
  if (gone_) return false;
  pending_ += m->size();
  if (pending_ > limit_) {
    evicted_ = true;
    drop_all();
    state_->reset_socket();
    return false;
  }
  queue_.push_back(std::move(m));
  // Parked, it waits for the client; else it leaves at the end of this turn, with what else comes.
  if (state_->writing != &operation_) schedule();
  return true;
}

io::timer_queue& outbox::timers() const noexcept { return state_->home_core().timers(); }

void outbox::drop_all() noexcept {
  gone_ = true;
  queue_.clear();
  pending_ = 0;
}

bool outbox::proceed(operation& op) noexcept {
  outbox& self = *static_cast<flush_operation&>(op).from;
  self.state_->writing = nullptr;
  self.flush();
  return false;  // there is no coroutine to resume
}

bool outbox::cancel(operation& op, int error) noexcept {
  if (error != 0) static_cast<flush_operation&>(op).from->drop_all();
  return true;
}

void outbox::flush() noexcept {
  if (state_->writing == &operation_) state_->writing = nullptr;
  // Nobody tells when another coroutine's send has ended, and in the midst of it nothing may be sent.
  if (state_->writing != nullptr) return timers().arm(*this, std::chrono::milliseconds(5));
  while (!queue_.empty()) {
    std::array<iovec, 64> parts;
    const std::size_t count = std::min(queue_.size(), parts.size());
    std::size_t total = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t skip = i == 0 ? sent_of_first_ : 0;
      parts[i] = {const_cast<char*>(queue_[i]->data() + skip), queue_[i]->size() - skip};
      total += parts[i].iov_len;
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    const ssize_t n = ::sendmsg(state_->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN) return drop_all();
    if (n > 0) pending_ -= static_cast<std::size_t>(n);
    std::size_t gone = sent_of_first_ + (n > 0 ? static_cast<std::size_t>(n) : 0);
    while (!queue_.empty() && gone >= queue_.front()->size()) {
      gone -= queue_.front()->size();
      queue_.pop_front();
    }
    sent_of_first_ = gone;
    if (n < 0 || static_cast<std::size_t>(n) < total) {
      state_->writable = false;
      state_->active_at = static_cast<std::uint32_t>(state_->driver->now());
      return state_->driver->park_writing(*state_, operation_);
    }
  }
}

}  // namespace weir
