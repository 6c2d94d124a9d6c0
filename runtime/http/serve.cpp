// Serves one HTTP connection.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "message.hpp"
#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/core/within.hpp"
#include "weir/http/site.hpp"
#include "weir/http/status.hpp"

namespace weir::http {

namespace {

constexpr std::size_t most_pending = 65536;  // bytes of answers that wait for the end of a batch

enum class verdict : std::uint8_t {
  next,     // the client may ask for more
  last,     // the connection is to be closed
  lingers,  // the same, and the client may still be sending
  broken,   // a part of an answer has been sent and cannot be completed
  upgraded  // the handler has the connection
};

void log_refusal(const connection& client, int status, std::string_view why) {
  static log::limiter limit;
  if (const auto held_back = limit.pass())
    log::info("{}: {} {}: {}{}", client.peer().to_string(), status, reason_of(status), why,
              *held_back == 0 ? "" : fmt::format(" ({} more like this)", *held_back));
}

void log_failure(const message& m, const char* what) {
  static log::limiter limit(std::chrono::milliseconds(100));
  if (const auto held_back = limit.pass())
    log::error("{}: the handler of {} threw: {}{}", m.client().peer().to_string(), m.request().target(), what,
               *held_back == 0 ? "" : fmt::format(" ({} more like this)", *held_back));
}

void answer_without_handler(message& m) {
  const std::string_view allow = m.allowed();
  const bool asks = m.request().method() == "OPTIONS";
  if (asks && m.request().path() == "*") return m.send(204, {}, {}, {});
  if (allow.empty()) return m.refuse(404, {}, {});
  const header methods[]{{"Allow", allow}};
  if (asks) return m.send(204, {}, {}, methods);
  m.refuse(405, {}, methods);
}

// Behind all middleware.
task<> call_route(exchange x, message* m) {
  const router::route* const r = m->route();
  if (r == nullptr)
    answer_without_handler(*m);
  else if (r->plain)
    r->plain(x);
  else
    co_await r->waits(x);
}

// Tells of a request that has ended: the program, and the access log.
class account {
 public:
  account(const site& s, message& m)
      : of_(s), on_(m), peer_(m.client().peer()), is_timed_(s.on_finished || logs_json()) {}
  account(const account&) = delete;
  account& operator=(const account&) = delete;
  // A handler that is cut leaves no other trace.
  ~account() {
    if (runs_ && of_.log) write_line(std::chrono::nanoseconds(0));
  }

  // Its head is complete.
  void begin() {
    runs_ = true;
    first_line_ = {};
    if (is_timed_) began_ = std::chrono::steady_clock::now();
    if (of_.request_ids.in_answer) on_.put_request_id();
  }
  // It could not be read, of what has come.
  void begin_refused(std::string_view received) {
    runs_ = true;
    began_ = never;
    first_line_ = received.substr(0, std::min(received.find_first_of("\r\n"), most_shown));
    if (of_.request_ids.in_answer) on_.put_request_id();
  }
  [[gnu::noinline]] void end() noexcept {
    runs_ = false;
    const auto took =
        began_ == never ? std::chrono::nanoseconds(0) : std::chrono::steady_clock::now() - began_;
    if (of_.on_finished) tell(took);
    if (of_.log) write_line(took);
  }

 private:
  static constexpr std::chrono::steady_clock::time_point never{};
  static constexpr std::size_t most_shown = 2048;

  [[nodiscard]] bool logs_json() const noexcept {
    return of_.log && of_.log->format() == access_format::json;
  }
  void tell(std::chrono::nanoseconds took) noexcept {
    try {
      of_.on_finished({on_.request(), peer_, on_.status(), on_.answered_bytes(), took});
    } catch (const std::exception& e) {
      static log::limiter limit(std::chrono::milliseconds(100));
      if (limit.pass()) log::error("on_finished of the site threw: {}", e.what());
    }
  }
  void write_line(std::chrono::nanoseconds took) noexcept {
    of_.log->write({on_.request(), first_line_, peer_, on_.status(), on_.answered_bytes(), took,
                    logs_json() ? on_.request_id() : std::string_view()});
  }

  const site& of_;
  message& on_;
  peer_address peer_;  // a handler may take the connection away
  bool is_timed_;
  bool runs_ = false;
  std::string_view first_line_;
  std::chrono::steady_clock::time_point began_{};
};

// Counts the requests of a batch, and how long each took from when its bytes had come: those that are
// answered within one turn of the loop leave together, and have taken the same time.
class stopwatch {
 public:
  explicit stopwatch(std::uint64_t& all) noexcept : all_(all) { restart(); }
  stopwatch(const stopwatch&) = delete;
  stopwatch& operator=(const stopwatch&) = delete;
  ~stopwatch() { tell(); }

  // The bytes of the next request have come now.
  void restart() noexcept {
    tell();
    began_ = std::chrono::steady_clock::now();
    if (core* const here = core::current()) turn_ = here->driver().batch();
  }
  // What has been upgraded goes on as something else, which is no request.
  void has_ended(bool upgraded) noexcept {
    core* const here = core::current();
    ++all_;
    if (upgraded && here != nullptr) return here->count_requests();
    ++untold_;
    if (here != nullptr && here->driver().batch() != turn_) tell();
  }

 private:
  void tell() noexcept {
    core* const here = core::current();
    if (untold_ == 0 || here == nullptr) return;
    here->count_requests(std::exchange(untold_, 0), std::chrono::steady_clock::now() - began_);
    turn_ = here->driver().batch();
  }

  std::chrono::steady_clock::time_point began_;
  std::uint64_t turn_ = 0;
  std::uint64_t& all_;
  std::uint64_t untold_ = 0;
};

// Whether the exception being handled is a cancellation.
bool is_cancelled() noexcept {
  try {
    throw;
  } catch (const std::system_error& e) {
    return e.code() == std::errc::operation_canceled;
  } catch (...) {
    return false;
  }
}

// Turns the exception being handled, which is no cancellation, into an answer, or into the end of the
// connection.
verdict answer_exception(message& m) {
  try {
    throw;
  } catch (const error& e) {
    if (m.is_upgraded()) log_failure(m, e.what());
    if (m.is_upgraded()) return verdict::upgraded;
    if (m.has_answered()) return verdict::broken;
    if (m.has_unread()) m.close_afterwards();
    m.refuse(e.status(), e.what(), {});
    return verdict::next;
  } catch (const std::system_error& e) {
    if (!m.is_upgraded() && m.client().end() != ending::none)
      return verdict::broken;  // the client is gone: no error of the handler
    log_failure(m, e.what());
  } catch (const std::exception& e) {
    log_failure(m, e.what());
  }
  if (m.is_upgraded()) return verdict::upgraded;
  if (m.has_answered()) return verdict::broken;
  m.close_afterwards();
  m.refuse(500, {}, {});
  return verdict::next;
}

task<request_parser::state> rest_of_head(message* m, account* told) {
  try {
    const request_parser::state s = co_await m->await_head();
    co_return s;
  } catch (const std::system_error& e) {
    if (e.code() != std::errc::timed_out) throw;
  }
  m->begin_refused();
  if (told != nullptr) told->begin_refused(m->received());
  m->refuse(408, {}, {});
  if (told != nullptr) told->end();
  co_return request_parser::state::incomplete;
}

// Answers the requests that have come. Its frame, with all that a request needs, ends before the connection
// idles.
task<verdict> serve_batch(session* s, const site* what, std::uint64_t* served) {
  stopwatch time(*served);
  message m(*s);
  const bool special =
      what->on_finished || !what->around.empty() || what->log != nullptr || what->request_ids.in_answer;
  std::optional<account> told;
  if (special) [[unlikely]]
    told.emplace(*what, m);
  for (;;) {
    request_parser::state state = m.parse();
    if (state == request_parser::state::incomplete) {
      if (s->in.buffered().empty()) co_return verdict::next;
      state = co_await rest_of_head(&m, told ? &*told : nullptr);
      if (state == request_parser::state::incomplete) co_return verdict::lingers;
      time.restart();
    }
    if (state == request_parser::state::failed) {
      log_refusal(s->client, m.parser().status(), m.parser().reason());
      m.begin_refused();
      if (told) told->begin_refused(m.received());
      m.refuse(m.parser().status(), {}, {});
      if (told) told->end();
      co_return verdict::lingers;
    }
    m.begin();
    if (special) [[unlikely]]
      told->begin();
    verdict v = verdict::next;
    try {
      if (m.request().framing().length > s->of.limits.body) throw error(413);
      const router::route* const r = m.find_route();
      if (special && !what->around.empty())
        co_await next(*what, 0)(exchange(m));
      else if (r == nullptr)
        answer_without_handler(m);
      else if (r->plain)
        r->plain(exchange(m));
      else
        co_await r->waits(exchange(m));
      if (!m.is_finished()) {
        const bool whole = co_await m.finish();
        if (!whole) v = verdict::broken;
      }
    } catch (...) {
      if (is_cancelled()) {
        time.has_ended(m.is_upgraded());
        if (told) told->end();
        throw;
      }
      v = answer_exception(m);
    }
    time.has_ended(m.is_upgraded());
    if (special) [[unlikely]]
      told->end();
    if (v != verdict::next) co_return v;
    if (m.closes()) {
      if (m.is_upgraded()) co_return verdict::upgraded;
      co_return m.has_unread() ? verdict::lingers : verdict::last;
    }
    if (s->out.pending() > most_pending) {
      const bool sent = co_await s->out.flush();
      if (!sent) co_return verdict::last;
    }
  }
}

task<> discard(session* s) {
  for (;;) {
    const auto data = co_await s->client.receive();
    if (!data) break;
  }
}

// Hazard: closing while the client still sends makes the kernel answer with RST, which destroys the answer.
task<> linger(session* s) {
  s->client.shutdown_send();
  try {
    task<> rest = discard(s);
    co_await within(s->of.limits.linger_timeout, std::move(rest));
  } catch (const std::system_error& e) {
    if (e.code() != std::errc::timed_out) throw;
  }
}

// Counts a connection for as long as it lives.
class present {
 public:
  explicit present(tally* t) noexcept : tally_(t) {
    if (tally_ != nullptr) tally_->connections.fetch_add(1, std::memory_order_relaxed);
  }
  present(const present&) = delete;
  present& operator=(const present&) = delete;
  ~present() {
    if (tally_ != nullptr) tally_->connections.fetch_sub(1, std::memory_order_relaxed);
  }
  void served(std::uint64_t n) noexcept {
    if (tally_ != nullptr && n != 0) tally_->requests.fetch_add(n, std::memory_order_relaxed);
  }

 private:
  tally* tally_;
};

}  // namespace

task<> serve(connection client, std::shared_ptr<const site> what) {
  session s(std::move(client), *what);
  present here(what->tally_of_here ? &what->tally_of_here() : nullptr);
  verdict v = verdict::next;
  while (v == verdict::next) {
    const std::string_view has = co_await s.in.peek(1);
    if (has.empty()) break;
    std::uint64_t served = 0;
    v = co_await serve_batch(&s, what.get(), &served);
    here.served(served);
  }
  if (v == verdict::upgraded) co_return;  // the session has no connection any more
  if (v == verdict::broken) {
    s.client.abort();
    co_return;
  }
  const bool sent = co_await s.out.flush();
  if (sent && v == verdict::lingers) co_await linger(&s);
}

task<> next::operator()(exchange x) const {
  if (at_ < of_->around.size()) return of_->around[at_](x, next(*of_, at_ + 1));
  return call_route(x, x.message_);
}

std::function<task<>(connection)> site::handler() const {
  return [kept = std::make_shared<const site>(*this)](connection client) {
    return serve(std::move(client), kept);
  };
}

}  // namespace weir::http
