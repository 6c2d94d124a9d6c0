#include "weir/connection/outbox.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "kinds.hpp"
#include "weir/connection/detail/outbox_waiters.hpp"

namespace weir {

outbox::flush_operation::flush_operation(outbox& o) noexcept : operation(outbox::kind), from(&o) {
  root = &o;
}

outbox::outbox(connection& to, std::size_t limit)
    : chain(to.state().home()), state_(&to.state()), limit_(limit), operation_(*this), gone_(!to.is_open()) {
  state_->child_group_added();  // it sends from this thread
}

outbox::~outbox() {
  home().unschedule(*this);
  if (waits_) core::here().local<outbox_waiters>().remove(*this);
  if (state_->writing == &operation_) state_->writing = nullptr;
  if (sent_of_first_ != 0) state_->owe();
  state_->child_group_removed();
}

bool outbox::post(shared_message m) {
  if (gone_) return false;
  const std::size_t size = m->size();
  if (pending_ + size > limit_) {
    evicted_ = true;
    if (state_->driver != nullptr) state_->driver->counted()[observe::figure::evicted].add(1);
    drop_all();
    state_->reset();
    return false;
  }
  queue_.push_back(std::move(m));
  pending_ += size;
  // Parked, it waits for the client; else it leaves at the end of this turn, with what else comes.
  if (state_->writing != &operation_) schedule();
  return true;
}

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
  if (!state_->is_open()) return drop_all();
  if (state_->writing != nullptr) {  // amid another coroutine's send nothing else may be sent
    if (!std::exchange(waits_, true)) core::here().local<outbox_waiters>().add(*this);
    state_->output_wanted = true;
    return;
  }
  if (state_->layer() != nullptr) return flush_by_layer();
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
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) {
      state_->lost(errno);
      return drop_all();
    }
    if (n > 0) {
      state_->sent = true;
      state_->has_sent(static_cast<std::size_t>(n));
      pending_ -= static_cast<std::size_t>(n);
    }
    std::size_t gone = sent_of_first_ + (n > 0 ? static_cast<std::size_t>(n) : 0);
    while (!queue_.empty() && gone >= queue_.front()->size()) {
      gone -= queue_.front()->size();
      queue_.pop_front();
    }
    sent_of_first_ = gone;
    if (n < 0 || static_cast<std::size_t>(n) < total) return wait_for_room();
  }
}

void outbox::wait_for_room() noexcept {
  state_->writable = false;
  state_->wait_to_write_begins();
  state_->writing = &operation_;
  state_->driver->park_writing(*state_, operation_);
}

void outbox::flush_by_layer() noexcept {
  for (;;) {
    const bool rest = queue_.empty();  // of what the layer has taken
    const shared_message first = rest ? nullptr : queue_.front();
    const long n = rest ? detail::by_layer::flush(*state_)
                        : detail::by_layer::send(*state_, first->data() + sent_of_first_,
                                                 first->size() - sent_of_first_);
    if (n == -EAGAIN) return wait_for_room();
    if (n < 0) {
      state_->lost(static_cast<int>(-n));
      return drop_all();
    }
    if (rest) return;
    state_->sent = true;
    pending_ -= static_cast<std::size_t>(n);
    sent_of_first_ += static_cast<std::size_t>(n);
    if (sent_of_first_ < first->size()) continue;
    queue_.pop_front();
    sent_of_first_ = 0;
  }
}

void outbox_waiters::add(outbox& o) noexcept { o.next_waiting_ = std::exchange(first_, &o); }

void outbox_waiters::remove(outbox& o) noexcept {
  for (outbox** at = &first_; *at != nullptr; at = &(*at)->next_waiting_)
    if (*at == &o) {
      *at = o.next_waiting_;
      return;
    }
}

void outbox_waiters::wake(const connection_state& c) noexcept {
  for (outbox** at = &first_; *at != nullptr;) {
    outbox& o = **at;
    if (o.state_ != &c) {
      at = &o.next_waiting_;
      continue;
    }
    *at = o.next_waiting_;
    o.waits_ = false;
    o.schedule();
  }
}

}  // namespace weir
