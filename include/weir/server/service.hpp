#pragma once
// server: handlers with state of their own on each core, and handlers written for Asio.

#include <concepts>
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

// What a server runs: a handler for each connection, and what happens on each core before the first and after
// the last one.
struct service_form {
  connection_handler handler;
  std::function<void(core&)> start = nullptr;
  std::function<void(core&)> stop = nullptr;
  state_kind keeps = state_kind::per_connection;  // models in which that would go wrong are refused
};

// A handler that is a function and says what it keeps: `weir::run(argc, argv, weir::keeping(state,
// handler))`.
[[nodiscard]] inline service_form keeping(state_kind state, connection_handler handler) {
  return {.handler = std::move(handler), .keeps = state};
}

// A class whose objects serve connections: one object per core, so that its members need no lock (`keeps` may
// say weir::state_kind::sharded), unless it
// has `static constexpr auto keeps = weir::state_kind::per_process` or `shared`, which is one object, with
// locks of its own where it needs them, or `per_connection`, which is the same without anything to lock:
//
//   class counting {
//    public:
//     weir::task<> operator()(weir::connection client);
//     void start();   // if there is one: on the core's thread, before the first connection
//     void stop();    // if there is one: there, after the last; not if the drain had to be cut short
//    private:
//     long requests_ = 0;
//   };
//
//   int main(int argc, char** argv) { return weir::run<counting>(argc, argv); }
//
// Made from the core if it takes one, else by default.
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
    form.start = [object](core& c) {
      if (c.index() == 0) object->start();
    };
  if constexpr (requires { object->stop(); })
    form.stop = [object](core& c) {
      if (c.index() == 0) object->stop();
    };
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
      if constexpr (requires { object.start(); }) object.start();
    };
    if constexpr (requires(S& s) { s.stop(); }) form.stop = [](core& c) { c.local<slot>().object().stop(); };
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
