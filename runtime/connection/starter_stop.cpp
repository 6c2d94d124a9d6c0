// The end of a server, as it is told to the connections of a core.
#include <chrono>
#include <utility>

#include "weir/connection/detail/connection_starter.hpp"
#include "weir/connection/detail/stop_signal.hpp"
#include "weir/core/sleep.hpp"

namespace weir {

void connection_starter::stop(std::chrono::milliseconds grace) {
  if (!std::exchange(stopping_, true)) grace_ = grace;
  home_.local<stop_signal>().set();
  if (worker_queue_ == nullptr || grace_.count() == 0) tell_all();
  if (grace_.count() == 0 || tells_later_) return;
  home_.spawn(limit_grace());
  tells_later_ = true;
}

void connection_starter::tell_all() noexcept {
  home_.driver().refresh_now();
  // What waits for the answer of another server is a request in progress.
  for (connection_state* c : table_.all())
    if (!c->is_outgoing()) c->stop(static_cast<std::uint32_t>(grace_.count()));
}

task<> connection_starter::limit_grace() {
  co_await sleep_for(grace_);
  grace_ = {};
  if (worker_queue_ != nullptr) tell_all();
  for (connection_state* c : table_.all())
    if (c->awaits_first_bytes) c->end_grace();
}

void connection_starter::cancel() noexcept { table_.cut(); }

}  // namespace weir
