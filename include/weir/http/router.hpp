#pragma once
// http: the handlers by path and method.

#include <concepts>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "weir/http/exchange.hpp"

namespace weir::http {

// A handler is a coroutine, or a plain function that answers at once and needs no coroutine frame.
using handler = std::function<task<>(exchange)>;
using plain_handler = std::function<void(exchange)>;

// A handler for the health checks of a balancer: `site.routes.get("/ready", weir::http::readiness)`. It
// answers 200, and 503 from when the service was told to stop: with settings.limits.drain_delay the balancer
// has that long to notice. A worker process that others replace is no reason for 503.
void readiness(exchange x);

// Paths are compared as they were sent, without decoding. "/files/*" matches every path that begins with
// "/files/"; in "/users/{id}/posts" the part {id} matches anything but nothing and '/':
// exchange::parameter("id"). An exact path wins over a pattern; of two patterns the one wins whose first
// part that differs is a word rather than a {name}, and a {name} rather than the '*'. HEAD is answered by
// the handler of GET, without the body.
// Thread: filled by one thread, then read by any.
class router {
 public:
  struct route {
    std::string method;  // empty: any
    handler waits;
    plain_handler plain;
    std::string pattern = {};  // if it has parameters
  };

  // Errors: std::invalid_argument for a pattern that does not start with '/', or whose {name} is not a whole
  // part or comes twice.
  template <std::invocable<exchange> F>
  void add(std::string_view method, std::string_view pattern, F f) {
    route r{.method = std::string(method), .waits = {}, .plain = {}};
    if constexpr (std::is_void_v<std::invoke_result_t<F&, exchange>>)
      r.plain = std::move(f);
    else
      r.waits = std::move(f);
    add(pattern, std::move(r));
  }
  template <std::invocable<exchange> F>
  void get(std::string_view pattern, F f) {
    add("GET", pattern, std::move(f));
  }
  template <std::invocable<exchange> F>
  void post(std::string_view pattern, F f) {
    add("POST", pattern, std::move(f));
  }
  template <std::invocable<exchange> F>
  void any(std::string_view pattern, F f) {
    add("", pattern, std::move(f));
  }

  // Null if no route matches. Then `allow` holds the methods of the path, "GET, HEAD", or is empty if the
  // path is unknown.
  [[nodiscard]] const route* find(std::string_view method, std::string_view path, std::string& allow) const;

  // What {name} of `pattern` stands for in a path that matches it, as it was sent; nullopt if there is no
  // {name}.
  [[nodiscard]] static std::optional<std::string_view> parameter(std::string_view pattern,
                                                                 std::string_view path,
                                                                 std::string_view name) noexcept;

 private:
  using routes = std::vector<route>;
  struct exact_routes {
    std::string path;  // empty: a free place
    routes at;
  };
  struct pattern_routes {
    std::string pattern;
    std::size_t words;  // bytes before the first parameter or '*'
    routes at;
  };
  void add(std::string_view pattern, route r);

  [[nodiscard]] std::size_t place_of(std::string_view path) const noexcept;
  [[nodiscard]] routes& exact_at(std::string_view path);

  // A table with open addressing, at most half full. Its size is a power of two, or 0.
  std::vector<exact_routes> exact_;
  std::size_t exact_count_ = 0;
  std::vector<pattern_routes> patterns_;  // the one that wins first
};

}  // namespace weir::http
