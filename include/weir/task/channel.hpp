#pragma once
// task: a bounded queue between coroutines of one core.

#include <algorithm>
#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "weir/task/detail/wait_list.hpp"

namespace weir {

// Each value is received once, in order. A full channel suspends its senders: that is back-pressure.
// Thread: one core's. Lifetime: outlives the operations that wait.
template <class T>
class channel {
 public:
  // `capacity`: values that are kept before a sender is suspended, at least 1.
  explicit channel(std::size_t capacity) : capacity_(std::max<std::size_t>(capacity, 1)) {}

  // Refuses further values; those that were sent are still received, then receive() gives nothing.
  void close() noexcept {
    closed_ = true;
    while (senders_.grant_one() != nullptr) {
    }
    while (receivers_.grant_one() != nullptr) {
    }
  }
  [[nodiscard]] bool is_closed() const noexcept { return closed_; }
  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }

  // False, and `value` is untouched, if the channel is full or closed.
  [[nodiscard]] bool try_send(T& value) {
    if (closed_ || values_.size() + promised_room_ >= capacity_ || !senders_.empty()) return false;
    put(std::move(value));
    return true;
  }
  [[nodiscard]] std::optional<T> try_receive() {
    if (values_.size() <= promised_values_) return std::nullopt;
    return get();
  }

  struct send_operation : detail::list_operation {
    send_operation(channel& c, T& v) noexcept : list_operation(kind, c.senders_), of(&c), value(&v) {}
    bool await_ready() const { return of->closed_ || (sent = of->try_send(*value)); }
    bool await_resume() const {
      throw_if_cancelled("channel");
      if (promised) {
        --of->promised_room_;
        sent = !of->closed_;
        if (sent) of->put(std::move(*value));
      }
      return sent;
    }
    static bool cancel(operation& op, int error) noexcept {
      auto& self = static_cast<send_operation&>(op);
      if (self.promised && error == 0) {
        --self.of->promised_room_;
        self.of->offer_room();
      }
      return list_operation::cancel(op, error);
    }
    static constexpr operation_kind kind{&proceed, &cancel};
    channel* of;
    T* value;
    mutable bool sent = false;
    bool promised = false;
  };
  // Moves `value` in and returns true; false if the channel is closed. `value` lives until then: name it.
  // Cancel: throws operation_canceled; `value` is untouched.
  [[nodiscard]] send_operation send(T& value) noexcept { return {*this, value}; }

  struct receive_operation : detail::list_operation {
    explicit receive_operation(channel& c) noexcept : list_operation(kind, c.receivers_), of(&c) {}
    bool await_ready() const noexcept { return of->values_.size() > of->promised_values_ || of->closed_; }
    std::optional<T> await_resume() const {
      throw_if_cancelled("channel");
      if (promised) --of->promised_values_;
      return of->try_receive();
    }
    static bool cancel(operation& op, int error) noexcept {
      auto& self = static_cast<receive_operation&>(op);
      if (self.promised && error == 0) {
        --self.of->promised_values_;
        self.of->offer_value();
      }
      return list_operation::cancel(op, error);
    }
    static constexpr operation_kind kind{&proceed, &cancel};
    channel* of;
    bool promised = false;
  };
  // The oldest value; nothing when the channel is closed and empty.
  // Cancel: throws operation_canceled; no value is lost.
  [[nodiscard]] receive_operation receive() noexcept { return receive_operation(*this); }

 private:
  // A value, or a place, that was granted to a coroutine in the run queue is promised to it: no other takes
  // it.
  void put(T&& value) {
    values_.push_back(std::move(value));
    offer_value();
  }
  T get() {
    T value = std::move(values_.front());
    values_.pop_front();
    offer_room();
    return value;
  }
  void offer_value() noexcept {
    if (values_.size() <= promised_values_) return;
    if (auto* const op = receivers_.grant_one()) {
      static_cast<receive_operation*>(op)->promised = true;
      ++promised_values_;
    }
  }
  void offer_room() noexcept {
    if (values_.size() + promised_room_ >= capacity_) return;
    if (auto* const op = senders_.grant_one()) {
      static_cast<send_operation*>(op)->promised = true;
      ++promised_room_;
    }
  }

  std::size_t capacity_;
  std::deque<T> values_;
  std::size_t promised_values_ = 0;
  std::size_t promised_room_ = 0;
  bool closed_ = false;
  detail::wait_list senders_;
  detail::wait_list receivers_;
};

}  // namespace weir
