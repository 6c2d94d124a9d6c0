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
#include "weir/http/field_text.hpp"
#include "weir/http/form.hpp"

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

// Whether a list in one of the headers of that name has an element, ignoring case.
bool names(const request& r, std::string_view name, std::string_view element) noexcept {
  for (std::size_t i = 0; i < r.size(); ++i) {
    if (!same_name(r[i].name, name)) continue;
    for (std::string_view list = r[i].value, each; !(each = next_element(list)).empty();)
      if (same_name(each, element)) return true;
  }
  return false;
}

}  // namespace

// Whether this is the last answer. A server that leaves or stops answers the requests that have come already.
void message::decide_close() {
  if (!body_done_ && !close_) {
    skip_buffered();
    if (!body_done_ &&
        (request_.framing().chunked || body_left_ > session_.of.limits.unread || waits_for_continue()))
      close_ = true;
  }
  if (session_.client.is_leaving() && session_.in.buffered().empty()) close_ = true;
}

void message::put_connection() {
  if (close_)
    session_.out.write("Connection: close\r\n");
  else if (request_.minor() == 0)
    session_.out.write("Connection: keep-alive\r\n");
}

void message::put_status(int status) {
  const status_text line(status);
  session_.out.write(line.text());
}

void message::put_headers(std::span<const header> more) {
  writer& out = session_.out;
  for (const header& h : more) {
    out.write(h.name);
    out.write(": ");
    out.write(h.value);
    out.write(end_of_line);
  }
}

void message::add_header(std::string_view name, std::string_view value) {
  if (answer_ != answer::none) throw std::logic_error("a header comes before the answer");
  const header one[]{{name, value}};
  check_headers({}, one);
  extra_.append(name).append(": ").append(value).append(end_of_line);
}

void message::put_head(int status, std::string_view content_type, std::span<const header> more) {
  if (answer_ != answer::none) throw std::logic_error("a request is answered once");
  check_headers(content_type, more);
  writer& out = session_.out;
  put_status(status);
  status_ = status;
  out.write("Date: ");
  write_date_of_now(out.extend(date_size));
  out.write(end_of_line);
  if (!content_type.empty()) {
    out.write("Content-Type: ");
    out.write(content_type);
    out.write(end_of_line);
  }
  put_headers(more);
  if (!extra_.empty()) out.write(extra_);
  put_connection();
}

// A head of 100 to 199 is followed by the answer.
void message::send_ahead(int status, std::span<const header> more) {
  if (status == 101) throw std::invalid_argument("101 is sent by upgrade()");
  if (answer_ != answer::none) throw std::logic_error("a request is answered once");
  check_headers({}, more);
  if (request_.minor() == 0) return;
  put_status(status);
  put_headers(more);
  session_.out.write(end_of_line);
}

void message::send(int status, std::string_view content_type, std::string_view text,
                   std::span<const header> more) {
  if (status >= 100 && status < 200) return send_ahead(status, more);
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
  if (!has_body(status) || is_head_request()) return;
  answered_ = text.size();
  out.write(text);
}

void message::send(const fixed_response& r) {
  decide_close();
  if (answer_ != answer::none) throw std::logic_error("a request is answered once");
  answer_ = answer::whole;
  status_ = r.status();
  if (close_ || request_.minor() == 0 || is_head_request() || !extra_.empty()) [[unlikely]]
    return send_changed(r);
  const std::string_view text = r.text();
  answered_ = r.body().size();
  char* const to = session_.out.extend(text.size());
  std::memcpy(to, text.data(), text.size());
  write_date_of_now(to + r.date_at());
}

// With headers of this answer's own, or without a body.
void message::send_changed(const fixed_response& r) {
  writer& out = session_.out;
  const std::string_view text = r.text();
  const std::size_t headers_at = r.date_at() + date_size + end_of_line.size();
  answered_ = is_head_request() ? 0 : r.body().size();
  out.write(text.substr(0, r.date_at()));
  write_date_of_now(out.extend(date_size));
  out.write(end_of_line);
  out.write(extra_);
  put_connection();
  out.write(text.substr(headers_at, text.size() - headers_at - r.body().size() + answered_));
}

void message::start(int status, std::string_view content_type, std::optional<std::uint64_t> length,
                    std::span<const header> more) {
  if (status >= 100 && status < 200) throw std::invalid_argument("an answer has a status of 200 or more");
  if (!length && request_.minor() == 0) close_ = true;
  if (session_.client.is_leaving() && session_.in.buffered().empty()) close_ = true;
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
  answered_ += text.size();
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
    answered_ += count;
    co_return true;
  }
  const bool head = co_await out.flush_ahead();
  if (!head) co_return false;
  const bool sent = co_await session_.client.send_file(file, offset, count);
  if (sent) answer_left_ -= count;
  if (sent) answered_ += count;
  co_return sent;
}

task<upgraded> message::upgrade(std::string_view protocol, std::span<const header> more) {
  if (answer_ != answer::none) throw std::logic_error("a request is answered once");
  if (!is_token(protocol)) throw std::invalid_argument("a protocol with a character that it may not have");
  check_headers({}, more);
  if (!body_done_) throw error(400, "a request to upgrade has no body");
  if (request_.minor() == 0 || !names(request_, "connection", "upgrade") ||
      !names(request_, "upgrade", protocol)) {
    add_header("Upgrade", protocol);
    throw error(426);
  }
  keep_head();  // the buffer that it lies in is given away
  answer_ = answer::whole;
  status_ = 101;
  upgraded_ = close_ = true;
  writer& out = session_.out;
  put_status(101);
  out.write("Connection: Upgrade\r\nUpgrade: ");
  out.write(protocol);
  out.write(end_of_line);
  put_headers(more);
  out.write(extra_);
  out.write(end_of_line);
  co_await out.flush();
  upgraded made{std::move(session_.client), std::string(session_.in.buffered())};
  session_.in.consume(made.received.size());
  session_.in.give_back_if_empty();  // the session lives as long as the handler
  co_return made;
}

}  // namespace weir::http
