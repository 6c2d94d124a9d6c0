#pragma once
// http: one request and its answer, as a handler sees them.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "weir/connection/connection.hpp"
#include "weir/http/fixed_response.hpp"
#include "weir/http/form.hpp"
#include "weir/http/request.hpp"
#include "weir/task/task.hpp"

namespace weir::http {

class message;
class next;

// What upgrade() leaves of an HTTP connection: the connection, and what the client has sent behind its
// request.
struct upgraded {
  connection client;
  std::string received;
};

// A handle that a handler takes by value. The handler answers once: with send(), with refuse(), or with
// start() and then any number of write(). When it ends, the rest of the body is read or the connection
// closed after the answer, and a stream is ended; without an answer the client gets a 500. An http::error
// that leaves the handler becomes the answer, another exception a 500. If a part of the answer has been sent
// already, the connection is reset instead, so that the answer does not look complete.
// Thread: the handler's. Lifetime: the handle, the request and views of the body are valid until the handler
// has ended; a view of read() until the next read(). Cancel: as the connection's operations.
class exchange {
 public:
  explicit exchange(message& m) noexcept : message_(&m) {}

  [[nodiscard]] const http::request& request() const noexcept;
  [[nodiscard]] connection& client() const noexcept;

  // The part of the path that "{name}" of the route's pattern stands for, decoded.
  // Errors: http::error with 400 for a malformed escape; std::logic_error if the pattern has no such part.
  [[nodiscard]] std::string parameter(std::string_view name) const;
  // The first field of that name in the query, decoded. For several questions: http::form(request().query()).
  [[nodiscard]] std::optional<std::string> query(std::string_view name) const;
  // As it was sent.
  [[nodiscard]] std::optional<std::string_view> cookie(std::string_view name) const noexcept;

  // What tells this request from all others, in the access log too: 32 hexadecimal digits, made when it is
  // first asked for; or what the client has sent, see request_id_rules. Valid as the request is.
  [[nodiscard]] std::string_view request_id() const noexcept;

  // The next part of the body; empty at its end. Sends "100 Continue" to a client that waits for it.
  // Errors: http::error with 400, 408 or 413; errc::truncated if the stream ends inside the body.
  [[nodiscard]] task<std::string_view> read() const;

  // All of the body. Errors: as read(); 413 if it has more than `most` bytes.
  [[nodiscard]] task<std::string_view> body(std::uint64_t most = UINT64_MAX) const;

  // The fields of a body that is application/x-www-form-urlencoded. Errors: as body(); 415 for another type.
  [[nodiscard]] task<http::form> form(std::uint64_t most = UINT64_MAX) const;

  // A header of the answer, whichever it will be: a refusal and a fixed response have it too.
  // Errors: std::logic_error behind the answer, std::invalid_argument for what would break the message.
  void add_header(std::string_view name, std::string_view value) const;

  // The whole answer. `status` is 200 to 999; one of 100 to 199 but 101 is sent ahead of the answer, to
  // clients of HTTP/1.1, without `text`. With an empty `content_type` no Content-Type is sent.
  // Errors: std::logic_error for a second answer, std::invalid_argument for a header that would break the
  // message and for another status.
  void send(int status, std::string_view content_type, std::string_view text,
            std::span<const header> more = {}) const;
  void send(const fixed_response& r) const;

  // The whole answer, as the site answers by itself: with site::refusal, or in plain text. Empty: the reason
  // of the status. Errors: as send().
  void refuse(int status, std::string_view text = {}, std::span<const header> more = {}) const;

  // The head of an answer whose body follows with write() and write_file(): chunked, or of `length` bytes.
  void start(int status, std::string_view content_type, std::optional<std::uint64_t> length = std::nullopt,
             std::span<const header> more = {}) const;

  // A part of the body. Small parts are gathered in memory before they are sent. False: the client is gone.
  task<bool> write(std::string_view text) const;
  // Sends what has been gathered. False: the client is gone.
  task<bool> flush() const;
  // `count` bytes of `file` from `offset` on. Only after start() with a length. Errors: those of the file.
  task<bool> write_file(int file, off_t offset, std::size_t count) const;

  // Answers with 101 and gives the connection away, for a protocol that takes it over. client() is empty
  // then; the request stays valid, and no other part of the exchange may be used. The connection is closed
  // by its handle, and an exception that leaves the handler is logged.
  // Errors: http::error with 426 if the client did not ask for `protocol`, with 400 if its request has a
  // body.
  // Cancel: throws operation_canceled; the connection is lost.
  [[nodiscard]] task<upgraded> upgrade(std::string_view protocol, std::span<const header> more = {}) const;

  // Closes the connection after the answer, whose head says so unless it has been sent.
  void close_afterwards() const noexcept;

 private:
  friend class next;

  message* message_;
};

}  // namespace weir::http
