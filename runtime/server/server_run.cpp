// server: from run() to its end.

#include <algorithm>
#include <chrono>
#include <exception>
#include <new>
#include <optional>
#include <system_error>
#include <utility>

#include "weir/base/detail/line_file.hpp"
#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/core/within.hpp"
#include "weir/dump/detail/recorder.hpp"
#include "weir/server/server.hpp"
#include "weir/task/detail/this_chain.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr auto grace = 200ms;  // for what ends by being cancelled

// Until something is tried again that found no memory. No event tells that there is some.
constexpr auto shortage_pause = 10ms;

}  // namespace

server::ending::ending(server& s)
    : order((*s.cores_)[0], [&s] { s.obey(); }),
      delay((*s.cores_)[0], [&s] { s.drain(); }),
      drain((*s.cores_)[0], [&s] { s.limit_drain(); }),
      grace((*s.cores_)[0], [&s] { s.cut_handlers(); }),
      threads((*s.cores_)[0], [&s] { s.tell_threads(); }),
      services((*s.cores_)[0], [&s] { s.limit_services(); }) {
  for (core& c : *s.cores_) {
    tell.emplace_back(c, [&s, &c] { s.tell_handlers_of(c.index()); });
    stop.emplace_back(c, [&s, &c] { s.begin_stop_of_service(c); });
  }
}

void server::run() {
  services_.resize(cores_->size());
  starting_ = cores_->size();
  if (workers_) workers_->start();
  for (core& c : *cores_) c.post([this, &c] { c.spawn(start_service(&c)); });
  std::optional<stall_detector> watch;
  if (admin_) (*cores_)[0].post([this] { admin_->start(); });
  if (settings_.limits.stall.count() > 0)
    watch.emplace(*cores_, settings_.limits.stall, dump::stall_reporter());
  std::optional<dump::slow_reporter> slow;
  if (settings_.observe.recorder != 0 && settings_.observe.slow.count() > 0)
    slow.emplace(
        *cores_, [this] { return workers_ ? workers_->cores() : std::vector<core*>(); },
        settings_.observe.slow);
  cores_->run();
  for (accept_thread& a : accept_threads_) a.stop();
  if (workers_) workers_->stop();
  if (threads_) threads_->stop();
  log::flush_line_files();
  write_figures();  // for those that look at the memory of a pool
  if (const auto left = permits_.in_use(); left != 0) {
    cut_short_ = true;
    log::warning("stopped; {} connections were cut", left);
  }
  if (failure_) std::rethrow_exception(failure_);
}

// Connections of any core may be served by any other, so none is accepted before every service has started.
task<> server::start_service(core* at) {
  core& c = *at;
  service_state& state = services_[c.index()];
  state.step = co_await detail::this_chain();
  try {
    if (!stops_.load()) {
      if (form_.start) co_await form_.start(c);
      state.runs = true;
    }
  } catch (...) {
    start_has_failed();
  }
  state.step = nullptr;
  if (starting_.fetch_sub(1) == 1) (*cores_)[0].post([this] { services_have_started(); });
}

// In a catch block, on any thread. What a stop has cancelled is no failure.
void server::start_has_failed() {
  if (stops_.load())
    return log::info("a service was stopped while it started: {}", text_of_current_exception());
  fail();
  (*cores_)[0].post([this] { begin_stop(); });
}

// In a catch block, on any thread: what run() is to throw.
void server::fail() {
  const std::lock_guard lock(failure_mutex_);
  if (failure_)
    log::error("another service has failed: {}", text_of_current_exception());
  else
    failure_ = std::current_exception();
}

void server::services_have_started() {
  have_started_ = true;
  if (is_cut_) return stop_services();
  if (stop_begun_) return end_accepting();
  begin_accepting();
}

void server::begin_accepting() {
  if (stops_.load()) return;  // begin_stop() is on its way
  try {
    for (accept_thread& a : accept_threads_) a.start();
  } catch (...) {
    fail();
    return begin_stop();
  }
  accept_threads_run_ = true;
  starting_ = cores_->size();
  for (core& c : *cores_) {
    c.post([this, &c] {
      for (acceptor* a : acceptors_of_[c.index()]) a->start();
      if (starting_.fetch_sub(1) != 1) return;
      for (core& each : *cores_) each.endure();
      tell_state(process::worker_score::state::serving);
      if (when_serving_) (*cores_)[0].post(when_serving_);
    });
  }
}

void server::stop() noexcept {
  if (leaves_.exchange(departure::service) == departure::service) return;
  if (!drain_delays_) stops_ = true;
  ending_->order.post();
}

// What leaves is known already where a worker is told.
void server::drain() noexcept {
  auto unknown = departure::no;
  leaves_.compare_exchange_strong(unknown, departure::service);
  if (!stops_.exchange(true)) ending_->order.post();
}

void server::cut() noexcept {
  stops_ = true;
  cuts_ = true;
  ending_->order.post();
}

void server::obey() {
  // Before a client is served nobody needs to be told.
  if (!stops_ && have_started_) {
    if (leaves_ == departure::process) return end_accepting();
    return ending_->delay.expires_after(settings_.limits.drain_delay);
  }
  stops_ = true;
  begin_stop();
  if (cuts_.exchange(false)) cut_handlers();
}

void server::begin_stop() {
  if (std::exchange(stop_begun_, true)) return;
  tell_state(process::worker_score::state::draining);
  drain_until_ = std::chrono::steady_clock::now() + settings_.limits.drain_timeout;
  ending_->drain.expires_after(settings_.limits.drain_timeout);
  if (have_started_) return accepting_ended_ ? tell_handlers() : end_accepting();
  cancel_steps();  // services_have_started() goes on when the last of them has ended
}

// Cancels what starts or stops of services wait for.
void server::cancel_steps() {
  for (core& c : *cores_)
    c.post([this, &c] {
      if (chain* const start = services_[c.index()].step; start != nullptr) start->cancel();
    });
}

// Accepting ends on every core before the handlers are told, so that no connection arrives behind the end of
// the others.
void server::end_accepting() {
  if (std::exchange(accepting_ends_, true)) return;
  accept_threads_run_ = false;
  for (accept_thread& a : accept_threads_) a.stop();
  accepting_ = acceptors_.size();
  if (acceptors_.empty()) return accepting_has_ended();
  for (core& c : *cores_) {
    c.post([this, &c] {
      for (acceptor* a : acceptors_of_[c.index()])
        a->stop([this] {
          if (accepting_.fetch_sub(1) == 1) (*cores_)[0].post([this] { accepting_has_ended(); });
        });
    });
  }
}

void server::accepting_has_ended() {
  accepting_ended_ = true;
  listeners_.clear();  // a client that comes now is refused at once
  stop_begun_ ? tell_handlers() : wait_until_unused();
}

void server::leave(departure what) noexcept {
  (*cores_)[0].driver().assert_thread("server::leave");
  leaves_ = what;
  if (what == departure::process && have_started_) ending_->order.post();
}

void server::tell_handlers() {
  for (core& c : *cores_) c.post([this, i = c.index()] { tell_handlers_of(i); });
  if (workers_) workers_->tell();
  if (threads_) tell_threads();
  wait_until_unused();
}

// On that core's thread. Handlers may hear it twice.
void server::tell_handlers_of(std::size_t core) noexcept {
  try {
    starters_[core].stop(first_bytes_grace_);
  } catch (const std::bad_alloc&) {
    ending_->tell[core].expires_after(shortage_pause);
  }
}

// Until there is no connection, and none that was handed on can come back. A process that leaves alone is
// told to drain; but for connections nothing keeps it until then.
void server::wait_until_unused() {
  permits_.when_unused([this] {
    (*cores_)[0].post([this] {
      if (handed_on_.load() != 0)
        waits_for_placed_ = true;
      else if (permits_.in_use() != 0)
        wait_until_unused();
      else
        stop_begun_ ? stop_services() : drain();
    });
  });
}

void server::placed(std::uint32_t count) {
  (*cores_)[0].driver().assert_thread("server::placed");
  count = std::min(count, handed_on_.load());
  if (count != 0 && handed_on_.fetch_sub(count) == count && std::exchange(waits_for_placed_, false))
    wait_until_unused();
}

// Again and again: a signal may come a moment before the call that it is to end.
void server::tell_threads() {
  threads_->tell(first_bytes_grace_);
  ending_->threads.expires_after(50ms);
}

void server::limit_drain() {
  if (const auto left = permits_.in_use(); left != 0) {
    cut_short_ = true;
    log::warning("drain_timeout has passed; {} connections are cut", left);
  }
  for (connection_starter& r : starters_) r.home().post([&r] { r.cancel(); });
  if (threads_) threads_->cancel();
  ending_->grace.expires_after(grace);  // for handlers that end by the cancellation
}

// The handlers that are left are not waited for. Services that stop already have had their time.
void server::cut_handlers() {
  if (!is_cut_.exchange(true)) {
    if (permits_.in_use() != 0) cut_short_ = true;
    if (have_started_ && !services_stop_) return stop_services();
  }
  if (!services_stop_) return;
  cancel_steps();
  limit_services_to(grace);
}

// The first core's comes last: an object that serves all cores is stopped there.
void server::stop_services() {
  if (std::exchange(services_stop_, true)) return;
  time_to_stop_ = is_cut_ ? grace
                          : std::max<std::chrono::steady_clock::duration>(
                                drain_until_ - std::chrono::steady_clock::now(), grace);
  stopping_ = cores_->size() - 1;
  if (stopping_ == 0) return stop_first_service();
  limit_services_to(time_to_stop_);
  for (std::size_t i = 1; i < cores_->size(); ++i) {
    core& c = (*cores_)[i];
    c.post([this, &c] { begin_stop_of_service(c); });
  }
}

// On its core's thread.
void server::begin_stop_of_service(core& c) noexcept {
  try {
    c.spawn(stop_service(&c));
  } catch (const std::bad_alloc&) {
    ending_->stop[c.index()].expires_after(shortage_pause);
  }
}

// A later limit does not put off an earlier one.
void server::limit_services_to(std::chrono::steady_clock::duration time) noexcept {
  const auto until = std::chrono::steady_clock::now() + time + 20ms;
  if (until >= ending_->services_until) return;
  ending_->services_until = until;
  ending_->services.expires_after(time + 20ms);
}

// A loop that a handler holds up does not stop its service, and is not waited for.
void server::limit_services() {
  if (first_service_stops_) return;
  log::warning("the services of {} loops are not stopped: their loops do not turn", stopping_.load());
  stop_first_service();
}

void server::stop_first_service() {
  if (!std::exchange(first_service_stops_, true)) begin_stop_of_service((*cores_)[0]);
}

task<> server::stop_service(core* at) {
  core& c = *at;
  service_state& state = services_[c.index()];
  if (std::exchange(state.runs, false) && form_.stop) {
    state.step = co_await detail::this_chain();
    try {
      task<> stop = form_.stop(c);
      co_await within(time_to_stop_, std::move(stop));
    } catch (const std::system_error& e) {
      if (e.code() != std::errc::timed_out && e.code() != std::errc::operation_canceled)
        fail();
      else
        log::warning("the stop of a service has taken too long and is cancelled");
    } catch (...) {
      fail();
    }
    state.step = nullptr;
  }
  if (c.index() == 0) {
    cores_->stop();
  } else {
    if (stopping_.fetch_sub(1) == 1) (*cores_)[0].post([this] { stop_first_service(); });
    if (is_cut_) c.stop();  // no handler runs after the stop
  }
}

void server::take_certificates(const settings& fresh, const tls_files& files) {
  tls_.set(tls_provided()->load(fresh, files));
}

}  // namespace weir
