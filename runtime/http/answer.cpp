// message: the functions that write the answer.
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>

#include "head_text.hpp"
#include "message.hpp"
#include "weir/base/error.hpp"
#include "weir/http/detail/date.hpp"

namespace weir::http {

namespace {

constexpr std::size_t gather = 16384;      // bytes of a stream that are collected before they are sent
constexpr std::size_t small_file = 16384;  // bytes that are cheaper to copy than to send on their own

constexpr std::string_view end_of_line = "\r\n";

// A number as text, at the end of its own buffer.
class number {
 public:
  number(std::uint64_t value, int base) noexcept
      : end_(std::to_chars(text_.data(), text_.data() + text_.size(), value, base).ptr) {}
  [[nodiscard]] std::string_view text() const noexcept { return {text_.data(), end_}; }

 private:
  std::array<char, 20> text_;
  char* end_;
};

}  // namespace

// Whether this is the last answer. A stopping server answers the requests that have come already.
void message::decide_close() {
  if (!body_done_ && !close_) {
    skip_buffered();
    if (!body_done_ &&
        (request_.framing().chunked || body_left_ > session_.most.unread || waits_for_continue()))
      close_ = true;
  }
  if (session_.client.is_stopping() && session_.in.buffered().empty()) close_ = true;
}

void message::put_connection() {
  if (close_)
    session_.out.write("Connection: close\r\n");
  else if (request_.minor() == 0)
    session_.out.write("Connection: keep-alive\r\n");
}

void message::put_head(int status, std::string_view content_type, std::span<const header> more) {
  if (answer_ != answer::none) throw std::logic_error("a request is answered once");
  const std::string_view line = line_of(status);
  check_headers(content_type, more);
  writer& out = session_.out;
  out.write(line);
  out.write("Date: ");
  write_date_of_now(out.extend(date_size));
  out.write(end_of_line);
  if (!content_type.empty()) {
    out.write("Content-Type: ");
    out.write(content_type);
    out.write(end_of_line);
  }
  for (const header& h : more) {
    out.write(h.name);
    out.write(": ");
    out.write(h.value);
    out.write(end_of_line);
  }
  put_connection();
}

void message::send(int status, std::string_view content_type, std::string_view text,
                   std::span<const header> more) {
  decide_close();
  put_head(status, content_type, more);
  answer_ = answer::whole;
  writer& out = session_.out;
  if (has_body(status)) {
    out.write("Content-Length: ");
    out.write(number(text.size(), 10).text());
    out.write(end_of_line);
  }
  out.write(end_of_line);
  if (has_body(status) && !is_head_request()) out.write(text);
}

void message::send(const fixed_response& r) {
  decide_close();
  if (answer_ != answer::none) throw std::logic_error("a request is answered once");
  answer_ = answer::whole;
  writer& out = session_.out;
  const std::string_view text =
      is_head_request() ? r.text().substr(0, r.text().size() - r.body().size()) : r.text();
  if (!close_ && request_.minor() != 0) [[likely]] {
    char* const to = out.extend(text.size());
    std::memcpy(to, text.data(), text.size());
    write_date_of_now(to + r.date_at());
    return;
  }
  const std::size_t headers_at = r.date_at() + date_size + end_of_line.size();
  out.write(text.substr(0, r.date_at()));
  write_date_of_now(out.extend(date_size));
  out.write(end_of_line);
  put_connection();
  out.write(text.substr(headers_at));
}

void message::start(int status, std::string_view content_type, std::optional<std::uint64_t> length,
                    std::span<const header> more) {
  if (!length && request_.minor() == 0) close_ = true;
  if (session_.client.is_stopping() && session_.in.buffered().empty()) close_ = true;
  put_head(status, content_type, more);
  writer& out = session_.out;
  if (!has_body(status)) {
    answer_ = answer::counted;
    answer_left_ = 0;
  } else if (length) {
    answer_ = answer::counted;
    answer_left_ = is_head_request() ? 0 : *length;
    out.write("Content-Length: ");
    out.write(number(*length, 10).text());
    out.write(end_of_line);
  } else if (request_.minor() == 0) {
    answer_ = answer::until_close;
  } else {
    answer_ = answer::chunked;
    out.write("Transfer-Encoding: chunked\r\n");
  }
  out.write(end_of_line);
}

task<bool> message::write(std::string_view text) {
  if (answer_ == answer::none || answer_ == answer::whole)
    throw std::logic_error("write() comes after start()");
  if (text.empty() || is_head_request()) co_return true;
  writer& out = session_.out;
  if (answer_ == answer::chunked) {
    out.write(number(text.size(), 16).text());
    out.write(end_of_line);
  }
  if (answer_ == answer::counted) {
    if (text.size() > answer_left_) throw std::logic_error("more was written than start() was told");
    answer_left_ -= text.size();
  }
  out.write(text);
  if (answer_ == answer::chunked) out.write(end_of_line);
  if (out.pending() < gather) co_return true;
  const bool sent = co_await out.flush();
  co_return sent;
}

task<bool> message::flush() {
  const bool sent = co_await session_.out.flush();
  co_return sent;
}

task<bool> message::write_file(int file, off_t offset, std::size_t count) {
  if (answer_ != answer::counted) throw std::logic_error("write_file() comes after start() with a length");
  if (is_head_request() || count == 0) co_return true;
  if (count > answer_left_) throw std::logic_error("more was written than start() was told");
  writer& out = session_.out;
  if (count <= small_file) {
    char* const to = out.extend(count);
    if (const ssize_t n = ::pread(file, to, count, offset); n != static_cast<ssize_t>(count))
      throw_system_error(n < 0 ? errno : ENODATA, "read a file that is being sent");
    answer_left_ -= count;
    co_return true;
  }
  const bool head = co_await out.flush_ahead();
  if (!head) co_return false;
  const bool sent = co_await session_.client.send_file(file, offset, count);
  if (sent) answer_left_ -= count;
  co_return sent;
}

}  // namespace weir::http
