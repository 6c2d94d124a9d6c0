#include "message.hpp"

#include <fmt/format.h>

#include "weir/base/error.hpp"
#include "weir/core/within.hpp"
#include "weir/http/status.hpp"

namespace weir::http {

namespace {

// More bytes than are buffered; false at the end of the stream.
task<bool> fill(reader* in) {
  const std::size_t had = in->buffered().size();
  const std::string_view has = co_await in->peek(had + 1);
  co_return has.size() > had;
}

task<request_parser::state> fill_until_parsed(message* m, reader* in) {
  for (;;) {
    const bool came = co_await fill(in);
    if (!came) co_return request_parser::state::incomplete;
    const request_parser::state s = m->parse();
    if (s != request_parser::state::incomplete) co_return s;
  }
}

std::uint64_t ticks(std::chrono::milliseconds d) noexcept { return static_cast<std::uint64_t>(d.count()); }

}  // namespace

task<request_parser::state> message::await_head() {
  return within(session_.most.head_timeout, fill_until_parsed(this, &session_.in));
}

void message::begin() {
  session_.in.consume(parser_.size());
  parser_.reset();
  const framing& f = request_.framing();
  answer_ = answer::none;
  close_ = !f.keep_alive;
  body_done_ = !f.chunked && f.length == 0;
  if (body_done_) return;
  sent_continue_ = false;
  body_left_ = f.length;
  body_seen_ = 0;
  body_deadline_ = 0;
  chunks_ = {};
  body_.clear();
  // Hazard: reading the body moves the buffer, and the handler holds views of the head. So the head is
  // copied.
  if (f.chunked || f.length > session_.in.buffered().size()) keep_head();
}

void message::keep_head() {
  const std::string_view target = request_.target();
  const char* const start = request_.method().data();
  const char* end = target.data() + target.size();
  if (request_.size() != 0) {
    const header last = request_[request_.size() - 1];
    end = std::max(last.name.data() + last.name.size(), last.value.data() + last.value.size());
  }
  kept_.assign(start, end);
  request_.move_to(kept_.data());
}

// The next buffered part of the body. Empty: nothing is buffered, or the body has ended.
std::string_view message::take_buffered() {
  reader& in = session_.in;
  std::string_view data;
  if (request_.framing().chunked) {
    while (data.empty() && !body_done_ && !in.buffered().empty()) {
      const chunk_decoder::piece next = chunks_.take(in.buffered());
      in.consume(next.consumed);
      data = next.data;
      body_done_ = next.state == chunk_decoder::state::done;
      if (next.state == chunk_decoder::state::failed) throw error(400, "a chunk of the body is malformed");
    }
  } else if (!body_done_) {
    data = in.buffered().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(body_left_, SIZE_MAX)));
    in.consume(data.size());
    body_left_ -= data.size();
    body_done_ = body_left_ == 0;
  }
  body_seen_ += data.size();
  if (body_seen_ > session_.most.body) throw error(413);
  return data;
}

bool message::waits_for_continue() const noexcept {
  return request_.framing().expects_continue && !sent_continue_ && body_seen_ == 0 && !body_done_ &&
         session_.in.buffered().empty();
}

void message::ask_for_body() {
  if (!waits_for_continue() || has_answered()) return;
  sent_continue_ = true;
  session_.out.write("HTTP/1.1 100 Continue\r\n\r\n");
}

// A client that sends its body byte by byte is cut like one that does so with a head.
task<> message::await_more() {
  const std::uint64_t now = core::here().timers().now();
  const std::uint64_t stretches = body_seen_ / limits::body_stretch + 1;
  if (body_deadline_ == 0) body_deadline_ = now;
  const std::uint64_t until = body_deadline_ + stretches * ticks(session_.most.body_timeout);
  if (now >= until) throw error(408);
  session_.in.set_inside_message(true);  // a server that stops waits for the rest
  bool came = false;
  try {
    task<bool> more = fill(&session_.in);
    came = co_await within(std::chrono::milliseconds(until - now), std::move(more));
  } catch (const std::system_error& e) {
    if (e.code() != std::errc::timed_out) throw;
    throw error(408);
  }
  session_.in.set_inside_message(false);
  if (!came) throw std::system_error(errc::truncated, session_.client.peer().to_string());
}

task<std::string_view> message::read() {
  for (;;) {
    const std::string_view data = take_buffered();
    if (!data.empty() || body_done_) co_return data;
    ask_for_body();
    co_await await_more();
  }
}

task<std::string_view> message::body(std::uint64_t most) {
  if (request_.framing().length > most) throw error(413);
  if (!request_.framing().chunked && body_left_ <= session_.in.buffered().size()) co_return take_buffered();
  for (;;) {
    const std::string_view data = co_await read();
    if (data.empty()) break;
    if (body_.size() + data.size() > most) throw error(413);
    body_ += data;
  }
  co_return body_;
}

void message::skip_buffered() {
  while (!body_done_ && !take_buffered().empty()) {
  }
}

void message::refuse(int status, std::string_view text) {
  if (!body_done_) close_ = true;
  answer_ = answer::none;
  send(status, "text/plain", fmt::format("{}\n", text.empty() ? reason_of(status) : text), {});
}

task<bool> message::finish() {
  switch (answer_) {
    case answer::none: throw std::logic_error("the handler gave no answer");
    case answer::chunked:
      if (!is_head_request()) session_.out.write("0\r\n\r\n");
      break;
    case answer::counted:
      if (answer_left_ != 0) co_return false;
      break;
    case answer::until_close:
    case answer::whole: break;
  }
  if (!body_done_ && waits_for_continue()) close_ = true;
  if (body_done_ || close_) co_return true;
  // The answer has been given; an error in the rest of the body does not change it.
  try {
    const std::uint64_t enough = body_seen_ + session_.most.unread;
    while (!body_done_ && body_seen_ <= enough) {
      const std::string_view passed_over = co_await read();
      static_cast<void>(passed_over);
    }
  } catch (const error&) {
    close_ = true;
  } catch (const std::system_error& e) {
    if (e.code() != errc::truncated) throw;
  }
  close_ |= !body_done_;
  co_return true;
}

}  // namespace weir::http
