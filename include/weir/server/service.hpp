#pragma once
// server: handlers with state of their own on each core, and handlers written for Asio.

#include <concepts>
#include <cstddef>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "weir/base/asio.hpp"
#include "weir/connection/connection_handler.hpp"
#include "weir/core/core.hpp"
#include "weir/model/model.hpp"
#include "weir/task/use_task.hpp"

namespace weir {

namespace detail {

// Nothing, or a task that is awaited.
template <class Result>
concept step_result = std::same_as<Result, void> || std::same_as<Result, task<>>;

template <class F>
task<> run_step(F f, core* c) {
  f(*c);
  co_return;
}

}  // namespace detail

// Something to do on a core: a function of `core&` that returns nothing, or a task<>, which is awaited.
class core_step {
 public:
  core_step() = default;
  core_step(std::nullptr_t) noexcept {}
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, core_step> && std::invocable<F&, core&>)
  core_step(F f) {
    using result = std::invoke_result_t<F&, core&>;
    static_assert(
        detail::step_result<result>,
        "a step on a core returns void or weir::task<>; await an asio::awaitable with weir::use_task");
    if constexpr (std::same_as<result, void>)
      f_ = [f = std::move(f)](core& c) { return detail::run_step(f, &c); };
    else
      f_ = std::move(f);
  }

  explicit operator bool() const noexcept { return static_cast<bool>(f_); }
  [[nodiscard]] task<> operator()(core& c) const { return f_(c); }

 private:
  std::function<task<>(core&)> f_;
};

// What a server runs: a handler for each connection, `start` on each core before the first connection of any
// core, and `stop` on each core whose `start` has ended without an exception.
struct service_form {
  connection_handler handler;
  core_step start = nullptr;
  core_step stop = nullptr;
  state_kind keeps = state_kind::per_connection;  // models in which that would go wrong are refused
};

// A handler that is a function and says what it keeps: `weir::run(argc, argv, weir::keeping(state,
// handler))`.
[[nodiscard]] inline service_form keeping(state_kind state, connection_handler handler) {
  return {.handler = std::move(handler), .keeps = state};
}

// A class whose objects serve connections: one object per core, so that its members need no lock (`keeps` may
// say weir::state_kind::sharded). With `static constexpr auto keeps = weir::state_kind::per_process` or
// `shared` there is one object, with locks of its own where it needs them; with `per_connection` one object
// without anything to lock:
//
//   class counting {
//    public:
//     weir::task<> operator()(weir::connection client);
//     void start();   // or weir::task<>; if there is one: on the core's thread, before the first connection
//     void stop();    // or weir::task<>; if there is one: there, after the last connection, if start() has
//     succeeded
//    private:
//     long requests_ = 0;
//   };
//
//   int main(int argc, char** argv) { return weir::run<counting>(argc, argv); }
//
// A start() that is a task is awaited before any core accepts; a stop() that is a task for as long as the
// drain may take, then it is cancelled. What start() throws ends the server: the objects that have started
// are stopped, and server::run() throws it. After a drain that was cut short, connections are left when
// stop() is called; their handlers do not run after a stop() that is no task. Made from the core if it takes
// one, else by default.
template <class S>
concept service = requires(S& s, connection c) {
  { s(std::move(c)) } -> std::same_as<task<>>;
} && (std::default_initializable<S> || std::constructible_from<S, core&>);

namespace detail {

template <service S>
class service_slot {
 public:
  explicit service_slot(core& c) : object_(make(c)) {}
  [[nodiscard]] S& object() noexcept { return object_; }

 private:
  static S make(core& c) {
    if constexpr (std::constructible_from<S, core&>)
      return S(c);
    else
      return S();
  }
  S object_;
};

template <class S>
task<> start_of(S* object) {
  static_assert(step_result<decltype(object->start())>, "start() of a service returns void or weir::task<>");
  if constexpr (std::same_as<decltype(object->start()), void>)
    object->start();
  else
    co_await object->start();
  co_return;
}

template <class S>
task<> stop_of(S* object) {
  static_assert(step_result<decltype(object->stop())>, "stop() of a service returns void or weir::task<>");
  if constexpr (std::same_as<decltype(object->stop()), void>)
    object->stop();
  else
    co_await object->stop();
  co_return;
}

inline task<> nothing() { co_return; }

// An Asio handler in the chain of the connection: Asio's operations are what it waits for.
template <class Handler>
task<> serve_as_asio(connection client, Handler handler) {
  asio::ip::tcp::socket socket(core::here().context());
  socket.assign(client.peer().what() == peer_address::kind::tcp6 ? asio::ip::tcp::v6() : asio::ip::tcp::v4(),
                client.release());
  co_await use_task(handler(std::move(socket)));
}

}  // namespace detail

template <service S>
[[nodiscard]] constexpr state_kind state_of() {
  if constexpr (requires { S::keeps; })
    return S::keeps;
  else
    return state_kind::per_core;
}

namespace detail {

template <service S>
[[nodiscard]] service_form one_object() {
  static_assert(std::default_initializable<S>, "one object for all cores is not made from a core");
  service_form form;
  const auto object = std::make_shared<S>();  // std::function wants a copy
  form.handler = [object](connection client) { return (*object)(std::move(client)); };
  if constexpr (requires { object->start(); })
    form.start = [object](core& c) { return c.index() == 0 ? start_of(object.get()) : nothing(); };
  if constexpr (requires { object->stop(); })
    form.stop = [object](core& c) { return c.index() == 0 ? stop_of(object.get()) : nothing(); };
  form.keeps = state_of<S>();
  return form;
}

}  // namespace detail

template <service S>
[[nodiscard]] service_form service_of() {
  if constexpr (state_of<S>() != state_kind::per_core && state_of<S>() != state_kind::sharded) {
    return detail::one_object<S>();
  } else {
    using slot = detail::service_slot<S>;
    service_form form;
    form.keeps = state_of<S>();
    form.handler = [](connection client) { return core::here().local<slot>().object()(std::move(client)); };
    form.start = [](core& c) {
      S& object = c.local<slot>().object();
      if constexpr (requires { object.start(); })
        return detail::start_of(&object);
      else
        return detail::nothing();
    };
    if constexpr (requires(S& s) { s.stop(); })
      form.stop = [](core& c) { return detail::stop_of(&c.local<slot>().object()); };
    return form;
  }
}

namespace detail {

template <class T>
struct is_awaitable : std::false_type {};
template <class T, class Executor>
struct is_awaitable<asio::awaitable<T, Executor>> : std::true_type {};

// A handler of Asio's that is passed where one of weir's is needed.
template <class Handler>
concept unwrapped_asio_handler = requires(Handler& h, asio::ip::tcp::socket s) {
  requires is_awaitable<decltype(h(std::move(s)))>::value;
} || requires(Handler& h, connection c) { requires is_awaitable<decltype(h(std::move(c)))>::value; };

template <class Handler>
inline constexpr bool wrapped = !unwrapped_asio_handler<Handler>;

}  // namespace detail

// A handler written for Asio, which runs unchanged: it owns a socket on the core's io_context. It is
// cancelled when the server stops; idle timeouts are its own affair. The listeners must be tcp.
template <class Handler>
  requires std::same_as<std::invoke_result_t<Handler&, asio::ip::tcp::socket>, asio::awaitable<void>>
[[nodiscard]] connection_handler asio_handler(Handler handler) {
  return [handler](connection client) { return detail::serve_as_asio(std::move(client), handler); };
}

}  // namespace weir
