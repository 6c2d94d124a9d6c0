#pragma once
// http: a request in progress: how much of its body has been read and of its answer written.

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "weir/connection/connection.hpp"
#include "weir/connection/reader.hpp"
#include "weir/connection/writer.hpp"
#include "weir/http/detail/chunk_decoder.hpp"
#include "weir/http/detail/request_parser.hpp"
#include "weir/http/fixed_response.hpp"
#include "weir/http/limits.hpp"
#include "weir/http/site.hpp"

namespace weir::http {

// What a connection holds while it is idle.
struct session {
  session(connection c, const site& s) noexcept : client(std::move(c)), in(client, out), of(s) {}

  connection client;
  writer out{client};
  reader in;
  const site& of;
};

// The successive requests of one batch. An idle connection has no message.
class message {
 public:
  explicit message(session& s) noexcept : session_(s) {}
  message(const message&) = delete;
  message& operator=(const message&) = delete;

  // Parses the next request from the buffered bytes.
  request_parser::state parse() noexcept {
    return parser_.parse(session_.in.buffered(), session_.of.limits, request_);
  }
  [[nodiscard]] const request_parser& parser() const noexcept { return parser_; }
  // After an incomplete one: waits until it is complete or has failed. Incomplete: the stream has ended.
  // Errors: errc::timed_out.
  task<request_parser::state> await_head();

  // Starts the parsed request.
  void begin();
  [[nodiscard]] const http::request& request() const noexcept { return request_; }
  [[nodiscard]] connection& client() const noexcept { return session_.client; }

  task<std::string_view> read();
  task<std::string_view> body(std::uint64_t most);

  // Finds the handler; null: there is none, and `allowed` holds the methods of the path.
  const router::route* find_route() {
    if (!allowed_.empty()) allowed_.clear();
    route_ = session_.of.routes.find(request_.method(), request_.path(), allowed_);
    return route_;
  }
  [[nodiscard]] const router::route* route() const noexcept { return route_; }
  [[nodiscard]] std::string_view allowed() const noexcept { return allowed_; }
  [[nodiscard]] std::string parameter(std::string_view name) const;

  void add_header(std::string_view name, std::string_view value);
  void send(int status, std::string_view content_type, std::string_view text, std::span<const header> more);
  void send(const fixed_response& r);
  void refuse(int status, std::string_view text, std::span<const header> more);
  void start(int status, std::string_view content_type, std::optional<std::uint64_t> length,
             std::span<const header> more);
  task<bool> write(std::string_view text);
  task<bool> flush();
  task<bool> write_file(int file, off_t offset, std::size_t count);

  task<upgraded> upgrade(std::string_view protocol, std::span<const header> more);
  [[nodiscard]] bool is_upgraded() const noexcept { return upgraded_; }

  // In place of begin(), for a request that could not be read. What had come of it is in received().
  void begin_refused() noexcept;
  [[nodiscard]] std::string_view received() const noexcept { return session_.in.buffered(); }

  // After the handler: ends the answer, and reads the rest of the body or closes. False: a part of the answer
  // has been sent and cannot be completed.
  task<bool> finish();
  [[nodiscard]] bool is_finished() const noexcept { return answer_ == answer::whole && body_done_; }

  // See exchange.
  [[nodiscard]] std::string_view request_id() noexcept;
  void put_request_id();

  void close_afterwards() noexcept { close_ = true; }
  [[nodiscard]] bool closes() const noexcept { return close_; }
  [[nodiscard]] bool has_answered() const noexcept { return answer_ != answer::none; }
  // Of the answer so far; 0 if there is none.
  [[nodiscard]] int status() const noexcept { return status_; }
  [[nodiscard]] std::uint64_t answered_bytes() const noexcept { return answered_; }
  // The client may still be sending bytes that will not be read.
  [[nodiscard]] bool has_unread() const noexcept { return !body_done_; }

 private:
  enum class answer : std::uint8_t { none, whole, counted, chunked, until_close };

  [[nodiscard]] std::string_view take_buffered();
  void keep_head();
  void ask_for_body();
  void skip_buffered();
  [[nodiscard]] std::uint64_t body_deadline(std::uint64_t now) noexcept;
  task<> await_more();
  [[nodiscard]] bool is_head_request() const noexcept { return request_.method() == "HEAD"; }
  [[nodiscard]] bool waits_for_continue() const noexcept;
  void put_status(int status);
  void put_headers(std::span<const header> more);
  void send_ahead(int status, std::span<const header> more);
  void put_head(int status, std::string_view content_type, std::span<const header> more);
  void put_connection();
  void send_changed(const fixed_response& r);
  void decide_close();

  session& session_;
  request_parser parser_;
  bool body_done_ = true;
  bool close_ = false;
  bool sent_continue_ = false;
  bool upgraded_ = false;
  answer answer_ = answer::none;
  int status_ = 0;
  std::uint64_t answered_ = 0;  // bytes of the answer's body
  const router::route* route_ = nullptr;
  std::uint64_t body_left_ = 0;  // of a body that is not chunked
  std::uint64_t body_seen_ = 0;
  std::uint64_t body_began_ = 0;   // on the core's clock; 0: it has not been waited for
  std::uint64_t answer_left_ = 0;  // of an answer that was started with a length
  chunk_decoder chunks_;
  std::string kept_;  // the head of a request whose body is read, and the body as it comes
  std::string body_;
  std::string allowed_;
  std::string extra_;  // lines of headers that were added
  std::array<char, 32> own_id_;
  std::string_view id_;  // of the request, once it was asked for
  http::request request_;
};

}  // namespace weir::http
