#pragma once
// http: a request in progress: how much of its body has been read and of its answer written.

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

namespace weir::http {

// What a connection holds while it is idle.
struct session {
  session(connection c, const limits& l) noexcept : client(std::move(c)), in(client, out), most(l) {}

  connection client;
  writer out{client};
  reader in;
  const limits& most;
};

// The successive requests of one batch. An idle connection has no message.
class message {
 public:
  explicit message(session& s) noexcept : session_(s) {}
  message(const message&) = delete;
  message& operator=(const message&) = delete;

  // Parses the next request from the buffered bytes.
  request_parser::state parse() noexcept {
    return parser_.parse(session_.in.buffered(), session_.most, request_);
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

  void send(int status, std::string_view content_type, std::string_view text, std::span<const header> more);
  void send(const fixed_response& r);
  void start(int status, std::string_view content_type, std::optional<std::uint64_t> length,
             std::span<const header> more);
  task<bool> write(std::string_view text);
  task<bool> flush();
  task<bool> write_file(int file, off_t offset, std::size_t count);

  // Answers with a status, and closes if a part of the body has not been read.
  void refuse(int status, std::string_view text);

  // After the handler: ends the answer, and reads the rest of the body or closes. False: a part of the answer
  // has been sent and cannot be completed.
  task<bool> finish();
  [[nodiscard]] bool is_finished() const noexcept { return answer_ == answer::whole && body_done_; }

  void close_afterwards() noexcept { close_ = true; }
  [[nodiscard]] bool closes() const noexcept { return close_; }
  [[nodiscard]] bool has_answered() const noexcept { return answer_ != answer::none; }
  // The client may still be sending bytes that will not be read.
  [[nodiscard]] bool has_unread() const noexcept { return !body_done_; }

 private:
  enum class answer : std::uint8_t { none, whole, counted, chunked, until_close };

  [[nodiscard]] std::string_view take_buffered();
  void keep_head();
  void ask_for_body();
  void skip_buffered();
  task<> await_more();
  [[nodiscard]] bool is_head_request() const noexcept { return request_.method() == "HEAD"; }
  [[nodiscard]] bool waits_for_continue() const noexcept;
  void put_head(int status, std::string_view content_type, std::span<const header> more);
  void put_connection();
  void decide_close();

  session& session_;
  request_parser parser_;
  bool body_done_ = true;
  bool close_ = false;
  bool sent_continue_ = false;
  answer answer_ = answer::none;
  std::uint64_t body_left_ = 0;  // of a body that is not chunked
  std::uint64_t body_seen_ = 0;
  std::uint64_t body_deadline_ = 0;  // on the core's clock; 0: none yet
  std::uint64_t answer_left_ = 0;    // of an answer that was started with a length
  chunk_decoder chunks_;
  std::string kept_;  // the head of a request whose body is read, and the body as it comes
  std::string body_;
  http::request request_;
};

}  // namespace weir::http
