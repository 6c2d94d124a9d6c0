#pragma once
// http: routes and limits, served on connections.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "weir/connection/connection.hpp"
#include "weir/http/access_log.hpp"
#include "weir/http/limits.hpp"
#include "weir/http/router.hpp"

namespace weir::http {

struct site;

// What has been served.
// Thread: any.
struct tally {
  std::atomic<std::uint64_t> connections{0};  // that are open now
  std::atomic<std::uint64_t> requests{0};     // since the start
};

// What a middleware stands before: the next one, or at last the handler of the request, or the answer of the
// site where there is no handler. What a handler throws comes out of it.
// Lifetime: as long as the request.
class next {
 public:
  next(const site& of, std::size_t at) noexcept : of_(&of), at_(at) {}
  [[nodiscard]] task<> operator()(exchange x) const;

 private:
  const site* of_;
  std::size_t at_;
};

// A coroutine around every request: it may answer by itself, add headers, wait, catch what is thrown.
using middleware = std::function<task<>(exchange, next)>;

// A request that has had its answer, or has lost its connection.
struct finished {
  const http::request& request;  // empty if it could not be read
  peer_address peer;
  int status;                         // 0: there was no answer
  std::uint64_t bytes;                // of the answer's body, as far as they were given to the connection
  std::chrono::nanoseconds duration;  // since its head was complete; 0 if it never was
};

// Where exchange::request_id() comes from.
struct request_id_rules {
  bool from_client =
      false;               // X-Request-Id of the request, if it has 1 to 128 letters, digits, '-', '_' or '.'
  bool in_answer = false;  // the answer has it as X-Request-Id
};

// A site is a value: routes, limits and what happens around each request. handler() takes a copy of it, as it
// is at that moment:
//
//   weir::http::site site;
//   site.routes.get("/", [](weir::http::exchange x) { x.send(200, "text/plain", "hello\n"); });
//   return weir::http::run(argc, argv, site);
//
// HTTP/1.1 and 1.0: keep-alive, pipelining, bodies with a length or in chunks. OPTIONS without a handler is
// answered with the methods of the path. While the server leaves or stops, answers say `Connection: close` as
// soon as the client has asked for nothing more.
// Thread: filled by one thread; the handler may run on any, and then calls all of this on several at once.
struct site {
  router routes;
  http::limits limits;
  std::function<tally&()> tally_of_here;  // called for each connection, on the thread of its handler

  // Answers in place of the library: 404, 405, what a handler threw (500, or an http::error with its text), a
  // request that is refused (its request() is empty then), a file that is not found. It answers with send();
  // if it does not, or throws, the answer is the text.
  std::function<void(exchange, int status, std::string_view text)> refusal;

  // Called once for each request, those included that the library refused: for an access log.
  std::function<void(const finished&)> on_finished;

  // A line for each request, those included that the library refused. Null: none.
  std::shared_ptr<access_log> log;
  request_id_rules request_ids;

  std::vector<middleware> around;  // the first one is the outermost
  void use(middleware m) { around.push_back(std::move(m)); }

  // Lifetime: the handler and each connection that it serves keep the copy; what the site refers to is the
  // program's to keep.
  [[nodiscard]] std::function<task<>(connection)> handler() const;
};

// Serves one connection until its end, and keeps `what` until then.
[[nodiscard]] task<> serve(connection client, std::shared_ptr<const site> what);

}  // namespace weir::http
