#pragma once
// core: a bounded queue between coroutines of different cores.

#include <algorithm>
#include <coroutine>
#include <cstddef>
#include <deque>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include "weir/core/core.hpp"
#include "weir/task/task.hpp"

namespace weir {

// Each value is received once, in order. A full channel suspends its senders. Coroutines are resumed on their
// own cores; wake-ups of one core that come together cost one. Thread: any core. Lifetime: outlives the
// operations that wait; values that were not received are destroyed with it, on the thread that destroys it.
template <class T>
class cross_channel {
  static_assert(!core_bound<T>, "cross_channel<T>: T belongs to its core; send a copy of what is in it");

 public:
  // `capacity`: values that are kept before a sender is suspended, at least 1.
  explicit cross_channel(std::size_t capacity) : capacity_(std::max<std::size_t>(capacity, 1)) {}
  cross_channel(const cross_channel&) = delete;
  cross_channel& operator=(const cross_channel&) = delete;

  // Refuses further values; those that were sent are still received, then receive() gives nothing.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    while (senders_.first != nullptr) grant(senders_);
    while (receivers_.first != nullptr) grant(receivers_);
  }

  // False, and `value` is untouched, if the channel is full or closed. Any thread.
  [[nodiscard]] bool try_send(T& value) {
    const std::lock_guard lock(mutex_);
    if (closed_ || values_.size() >= capacity_) return false;
    put(std::move(value));
    return true;
  }
  [[nodiscard]] std::optional<T> try_receive() {
    const std::lock_guard lock(mutex_);
    if (values_.size() <= promised_) return std::nullopt;
    return get();
  }
  [[nodiscard]] std::size_t size() const {
    const std::lock_guard lock(mutex_);
    return values_.size();
  }

 private:
  struct waiter : operation {
    waiter(const operation_kind& k, cross_channel& c) noexcept : operation(k), of(&c) {}
    static bool proceed(operation& op) noexcept {
      auto& self = static_cast<waiter&>(op);
      const std::lock_guard lock(self.of->mutex_);
      return self.granted && self.wake == nullptr;
    }
    void throw_if_cancelled() const {
      if (cancelled)
        throw std::system_error(std::make_error_code(std::errc::operation_canceled), "cross_channel");
    }

    cross_channel* of;
    waiter* next = nullptr;
    waiter** link = nullptr;      // what points at this waiter in its queue
    remote_wake* wake = nullptr;  // null again once it has arrived: only then may the coroutine continue
    bool granted = false;
    bool promised = false;  // a receiver that was granted a value
    bool cancelled = false;
  };
  struct wait_queue {
    void push(waiter& w) noexcept {
      w.link = last;
      *last = &w;
      last = &w.next;
    }
    void remove(waiter& w) noexcept {
      *w.link = w.next;
      if (w.next != nullptr)
        w.next->link = w.link;
      else
        last = w.link;
    }
    waiter* first = nullptr;
    waiter** last = &first;
  };

 public:
  struct send_operation : waiter {
    send_operation(cross_channel& c, T& v) noexcept : waiter(kind, c), value(&v) {}
    bool await_ready() const noexcept { return false; }
    template <task_promise P>
    bool await_suspend(std::coroutine_handle<P> h) {
      const std::lock_guard lock(this->of->mutex_);
      if (this->of->closed_) return false;
      if (this->of->values_.size() < this->of->capacity_) {
        this->of->put(std::move(*value));
        sent = true;
        return false;
      }
      this->of->join(this->of->senders_, *this, *h.promise().root, h);
      return true;
    }
    bool await_resume() const {
      this->throw_if_cancelled();
      return sent;
    }
    static bool cancel(operation& op, int error) noexcept {
      auto& self = static_cast<send_operation&>(op);
      const std::lock_guard lock(self.of->mutex_);
      return self.of->leave(self.of->senders_, self, error);
    }
    static constexpr operation_kind kind{&waiter::proceed, &cancel};
    T* value;
    bool sent = false;
  };
  // Moves `value` in and returns true; false if the channel is closed. `value` lives until then: name it.
  // Cancel: throws operation_canceled, `value` untouched; one that was taken already is sent.
  [[nodiscard]] send_operation send(T& value) noexcept { return {*this, value}; }

  struct receive_operation : waiter {
    explicit receive_operation(cross_channel& c) noexcept : waiter(kind, c) {}
    bool await_ready() const noexcept { return false; }
    template <task_promise P>
    bool await_suspend(std::coroutine_handle<P> h) {
      const std::lock_guard lock(this->of->mutex_);
      if (this->of->closed_ || this->of->values_.size() > this->of->promised_) return false;
      this->of->join(this->of->receivers_, *this, *h.promise().root, h);
      return true;
    }
    std::optional<T> await_resume() const {
      this->throw_if_cancelled();
      const std::lock_guard lock(this->of->mutex_);
      if (this->promised) --this->of->promised_;
      if (this->of->values_.size() <= this->of->promised_) return std::nullopt;
      return this->of->get();
    }
    static bool cancel(operation& op, int error) noexcept {
      auto& self = static_cast<receive_operation&>(op);
      const std::lock_guard lock(self.of->mutex_);
      const bool over = self.of->leave(self.of->receivers_, self, error);
      if (error == 0 && self.promised) {
        --self.of->promised_;
        self.of->offer_value();
      }
      return over;
    }
    static constexpr operation_kind kind{&waiter::proceed, &cancel};
  };
  // The oldest value; nothing when the channel is closed and empty.
  // Cancel: throws operation_canceled; no value is lost.
  [[nodiscard]] receive_operation receive() noexcept { return receive_operation(*this); }

 private:
  // All below: under the mutex.
  void join(wait_queue& l, waiter& w, chain& waiting, std::coroutine_handle<> h) {
    w.wake = remote_wake::make(waiting, &w.wake);
    l.push(w);
    waiting.suspend(w, h);
  }
  waiter& grant(wait_queue& l) noexcept {
    waiter& w = *l.first;
    l.remove(w);
    w.granted = true;
    w.root->home().deliver(w.wake);
    return w;
  }
  bool leave(wait_queue& l, waiter& w, int error) noexcept {
    if (w.granted) {
      if (error == 0 && w.wake != nullptr) w.wake->root = nullptr;
      return error == 0;  // granted already: the wake-up has arrived or is on its way
    }
    l.remove(w);
    remote_wake::free(w.wake);
    w.cancelled = true;
    return true;
  }
  void put(T&& value) {
    values_.push_back(std::move(value));
    offer_value();
  }
  void offer_value() noexcept {
    if (values_.size() <= promised_ || receivers_.first == nullptr) return;
    ++promised_;
    receivers_.first->promised = true;
    grant(receivers_);
  }
  // Without memory for the next sender's value it throws, and this value is another receiver's.
  T get() {
    const bool takes_next = !closed_ && senders_.first != nullptr;
    if (takes_next) {
      auto& next = static_cast<send_operation&>(*senders_.first);
      try {
        values_.push_back(std::move(*next.value));
      } catch (...) {
        offer_value();
        throw;
      }
      next.sent = true;
      grant(senders_);
    }
    T value = std::move(values_.front());
    values_.pop_front();
    if (takes_next) offer_value();
    return value;
  }

  std::size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<T> values_;
  std::size_t promised_ = 0;
  bool closed_ = false;
  wait_queue senders_;
  wait_queue receivers_;
};

}  // namespace weir
