#include "message.hpp"

#include <fmt/format.h>

#include "request_id.hpp"
#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/core/within.hpp"
#include "weir/http/form.hpp"
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
  return within(session_.of.limits.head_timeout, fill_until_parsed(this, &session_.in));
}

void message::begin() {
  session_.in.consume(parser_.size());
  parser_.reset();
  const framing& f = request_.framing();
  answer_ = answer::none;
  status_ = 0;
  answered_ = 0;
  id_ = {};
  if (!extra_.empty()) extra_.clear();
  close_ = !f.keep_alive;
  body_done_ = !f.chunked && f.length == 0;
  if (body_done_) return;
  sent_continue_ = false;
  body_left_ = f.length;
  body_seen_ = 0;
  body_began_ = 0;
  chunks_ = {};
  body_.clear();
  // Hazard: reading the body moves the buffer, and the handler holds views of the head. So the head is
  // copied.
  if (f.chunked || f.length > session_.in.buffered().size()) keep_head();
}

void message::begin_refused() noexcept {
  answer_ = answer::none;
  status_ = 0;
  answered_ = 0;
  extra_.clear();
  id_ = {};
  route_ = nullptr;
  request_.clear();
  body_done_ = close_ = true;
}

std::string_view message::request_id() noexcept {
  if (!id_.empty()) return id_;
  if (session_.of.request_ids.from_client)
    if (const auto sent = request_.find("x-request-id"); sent && is_request_id(*sent)) return id_ = *sent;
  write_request_id(own_id_.data());
  return id_ = {own_id_.data(), own_id_.size()};
}

void message::put_request_id() { add_header("X-Request-Id", request_id()); }

std::string message::parameter(std::string_view name) const {
  const std::string_view pattern = route_ == nullptr ? std::string_view() : route_->pattern;
  const auto sent = router::parameter(pattern, request_.path(), name);
  if (!sent) throw std::logic_error(fmt::format("the route has no parameter {}", name));
  auto value = percent_decoded(*sent);
  if (!value) throw error(400);
  return *std::move(value);
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
  if (body_seen_ > session_.of.limits.body) throw error(413);
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

// Until when more of the body must have come. A slow client may take long, a client that sends byte by byte
// is cut like one that does so with a head.
std::uint64_t message::body_deadline(std::uint64_t now) noexcept {
  const limits& most = session_.of.limits;
  if (body_began_ == 0) body_began_ = now;
  const std::uint64_t progress = now + ticks(most.body_timeout);
  if (most.body_rate == 0) return progress;
  // What has come at that rate has taken as long.
  const std::uint64_t earned =
      body_seen_ / most.body_rate * 1000 + body_seen_ % most.body_rate * 1000 / most.body_rate;
  return std::min(progress, body_began_ + ticks(most.body_grace) + earned);
}

task<> message::await_more() {
  const std::uint64_t now = core::here().timers().now();
  const std::uint64_t until = body_deadline(now);
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

void message::refuse(int status, std::string_view text, std::span<const header> more) {
  if (status < 200 || status > 999) status = 500;  // of an http::error
  const std::string_view reason = text.empty() ? reason_of(status) : text;
  if (session_.of.refusal && answer_ == answer::none) {
    for (const header& h : more) add_header(h.name, h.value);
    more = {};
    try {
      session_.of.refusal(exchange(*this), status, reason);
    } catch (const std::exception& e) {
      static log::limiter limit(std::chrono::milliseconds(100));
      if (limit.pass()) log::error("the refusal of the site threw: {}", e.what());
    }
    if (answer_ != answer::none) return;
  }
  send(status, "text/plain", fmt::format("{}\n", reason), more);
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
    const std::uint64_t enough = body_seen_ + session_.of.limits.unread;
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
