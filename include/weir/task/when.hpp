#pragma once
// task: several tasks at once, and the result of all or of the first.

#include <cstddef>
#include <optional>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "weir/task/detail/children.hpp"
#include "weir/task/named_task.hpp"

namespace weir {
namespace detail {

template <class T>
using result_of = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T>
result_of<T> take_result(child_of<T>& c) {
  if constexpr (std::is_void_v<T>) {
    c.take();
    return {};
  } else {
    return c.take();
  }
}

// Children in one frame, each a member.
template <class... T>
struct together {
  together(children::policy p, run_queue& home, task<T>&... tasks)
      : all(p), each(child_init<T>{&all, &home, &tasks}...) {
    std::apply([this](auto&... c) { (all.add(c.value), ...); }, each);
  }

  template <class U>
  struct child_init {
    children* owner;
    run_queue* home;
    task<U>* t;
  };
  // Made in place, for a chain does not move.
  template <class U>
  struct held {
    explicit held(child_init<U> i) : value(*i.owner, *i.home, std::move(*i.t)) {}
    child_of<U> value;
  };

  void start() {
    std::apply([](auto&... c) { (c.value.start(), ...); }, each);
  }

  local_children all;
  std::tuple<held<T>...> each;
};

// What is left of a named_task when it has got its name.
template <class T>
task<T>&& as_task(task<T>&& t) noexcept {
  return std::move(t);
}
template <class... Task>
concept some_named = (is_named<Task>::value || ...);

[[noreturn]] inline void throw_cancelled(const char* what) {
  throw std::system_error(std::make_error_code(std::errc::operation_canceled), what);
}

template <class Variant, std::size_t I = 0, class... T>
void take_winner(std::optional<Variant>& into, std::tuple<T...>& each, const child* winner) {
  if constexpr (I < sizeof...(T)) {
    auto& c = std::get<I>(each).value;
    if (&c == winner)
      into.emplace(std::in_place_index<I>, take_result(c));
    else
      take_winner<Variant, I + 1>(into, each, winner);
  }
}

}  // namespace detail

// Runs the tasks together and returns all results, std::monostate for void. The first exception cancels the
// others and is thrown when they have ended.
// Thread: stays on this one. Cancel: cancels the tasks, waits for them, throws operation_canceled.
template <class... T>
task<std::tuple<detail::result_of<T>...>> when_all(task<T>... tasks) {
  detail::together<T...> children(detail::children::policy::cancel_on_error, run_queue::here(), tasks...);
  children.start();
  const bool cancelled = co_await children.all.wait();
  if (const detail::child* const failed = children.all.decisive()) std::rethrow_exception(failed->error());
  if (cancelled) detail::throw_cancelled("when_all");
  co_return std::apply(
      [](auto&... c) { return std::tuple<detail::result_of<T>...>(detail::take_result(c.value)...); },
      children.each);
}

template <class... Task>
  requires detail::some_named<Task...>
auto when_all(Task... tasks) {
  return detail::named(when_all(detail::as_task(std::move(tasks))...));
}

// Runs the tasks together until the first has ended, by a result or an exception; that is the result or the
// exception here. The others are cancelled and waited for. The index of the variant is that of the first.
// Thread: stays on this one. Cancel: cancels the tasks, waits for them, throws operation_canceled.
template <class... T>
task<std::variant<detail::result_of<T>...>> when_any(task<T>... tasks) {
  detail::together<T...> children(detail::children::policy::cancel_on_first, run_queue::here(), tasks...);
  children.start();
  const bool cancelled = co_await children.all.wait();
  if (cancelled) detail::throw_cancelled("when_any");
  using result = std::variant<detail::result_of<T>...>;
  std::optional<result> first;
  detail::take_winner<result>(first, children.each, children.all.decisive());
  co_return std::move(*first);
}

template <class... Task>
  requires detail::some_named<Task...>
auto when_any(Task... tasks) {
  return detail::named(when_any(detail::as_task(std::move(tasks))...));
}

}  // namespace weir
