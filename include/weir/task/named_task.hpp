#pragma once
// task: a task that must have a name before it is awaited, for compilers that would destroy its arguments
// twice.

#include <type_traits>
#include <utility>

#include "weir/base/detail/build.hpp"
#include "weir/task/task.hpp"

namespace weir {

// Problem: GCC 12 destroys a closure twice that is written within a co_await expression, and with it all that
// it has captured. A function that takes closures returns a named_task there when it is given a temporary
// that has a destructor: `co_await weir::offload([text] { ... })` does not compile, and this does:
//
//   auto work = weir::offload([text] { return find(text); });
//   const auto found = co_await work;
//
// What is made of a named_task by within(), when_all() and when_any() is one as well. Other compilers, and
// GCC 12 for closures that only refer to something, return a task.
template <class T>
class [[nodiscard]] named_task : public task<T> {
 public:
  using task<T>::task;
  explicit named_task(task<T> t) noexcept : task<T>(std::move(t)) {}

  typename task<T>::awaiter operator co_await() const& noexcept { return task<T>::operator co_await(); }
  typename task<T>::awaiter operator co_await() const&& noexcept {
    static_assert(std::is_same_v<T, named_task>,
                  "GCC 12 would destroy this expression's closure twice. Name the task first: "
                  "`auto work = weir::offload(...); co_await work;`");
    return task<T>::operator co_await();
  }
};

namespace detail {

template <class T>
struct is_named : std::false_type {};
template <class T>
struct is_named<named_task<T>> : std::true_type {};

template <class T>
named_task<T> named(task<T> t) noexcept {
  return named_task<T>(std::move(t));
}

// Whether an argument of this type, as deduced for a forwarding reference, is destroyed twice within
// co_await. A class with constructors is not, but which that are cannot be told: what has a name is passed as
// an lvalue.
template <class Arg>
inline constexpr bool destroyed_twice =
    build::careful_coroutines && !std::is_reference_v<Arg> && !std::is_trivially_destructible_v<Arg>;

// What a function returns that gives a task<T> and takes `Args` by forwarding reference.
template <class T, class... Args>
using task_for = std::conditional_t<(destroyed_twice<Args> || ...), named_task<T>, task<T>>;

}  // namespace detail
}  // namespace weir
