#pragma once
// http: one request and its answer, as a handler sees them.

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "weir/connection/connection.hpp"
#include "weir/http/fixed_response.hpp"
#include "weir/http/request.hpp"
#include "weir/task/task.hpp"

namespace weir::http {

class message;

// A handle that a handler takes by value. The handler answers once: with send(), or with start() and then
// write() as often as it likes. What it does not do is done for it: the rest of the body is read or the
// connection closed behind the answer, a stream is ended, a handler that gave no answer is a 500.
// An http::error that leaves it becomes the answer, another exception a 500; once a part of the answer is
// out, the connection is reset instead, so that nobody takes half an answer for a whole one.
// Thread: the handler's. Lifetime: it, the request and views of the body live until the handler has ended;
// a view of read() until the next read(). Cancel: as the connection's operations.
class exchange {
 public:
  explicit exchange(message& m) noexcept : message_(&m) {}

  [[nodiscard]] const http::request& request() const noexcept;
  [[nodiscard]] connection& client() const noexcept;

  // The next stretch of the body; empty at its end. A client that waits for "100 Continue" gets it now.
  // Errors: http::error with 400, 408 or 413; errc::truncated if the client goes.
  [[nodiscard]] task<std::string_view> read() const;

  // All of the body. Errors: as read(); 413 if it has more than `most` bytes.
  [[nodiscard]] task<std::string_view> body(std::uint64_t most = UINT64_MAX) const;

  // The whole answer. An empty `content_type`: none is sent. Errors: std::logic_error for a second answer,
  // std::invalid_argument for a header that would break the message.
  void send(int status, std::string_view content_type, std::string_view text,
            std::span<const header> more = {}) const;
  void send(const fixed_response& r) const;

  // The head of an answer whose body comes with write() and write_file(): chunked, or of `length` bytes.
  void start(int status, std::string_view content_type, std::optional<std::uint64_t> length = std::nullopt,
             std::span<const header> more = {}) const;

  // A part of the body. It may stay in memory until more has come together. False: the client is gone.
  task<bool> write(std::string_view text) const;
  // Sends what has come together. False: the client is gone.
  task<bool> flush() const;
  // `count` bytes of `file` from `offset` on. With start() of a length only. Errors: those of the file.
  task<bool> write_file(int file, off_t offset, std::size_t count) const;

  // The connection is closed behind the answer, which says so if it is not out yet.
  void close_afterwards() const noexcept;

 private:
  message* message_;
};

}  // namespace weir::http
