#include "weir/connection/detail/connect_to_first.hpp"

#include <chrono>
#include <cstddef>
#include <exception>
#include <optional>
#include <system_error>
#include <utility>

#include "weir/connection/connect.hpp"
#include "weir/core/within.hpp"
#include "weir/task/event.hpp"
#include "weir/task/scope.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;

constexpr auto head_start = 250ms;  // RFC 8305, section 5

struct race {
  std::optional<connection> won;
  std::exception_ptr error;  // the last one
  std::size_t failed = 0;
  event changed;
};

task<> attempt(endpoint to, race* in) {
  try {
    connection made = co_await connect(std::move(to));
    if (!in->won) in->won.emplace(std::move(made));
  } catch (...) {  // also without memory: the race waits for each that takes part
    in->error = std::current_exception();
    ++in->failed;
  }
  in->changed.set();
}

task<> change(race* in) { co_await in->changed.wait(); }

}  // namespace

task<connection> connect_to_first(std::vector<endpoint> addresses) {
  race r;
  scope attempts;
  for (std::size_t i = 0; i < addresses.size() && !r.won; ++i) {
    r.changed.reset();
    attempts.spawn(attempt(addresses[i], &r));
    try {
      task<> changes = change(&r);
      task<> limited = within(head_start, std::move(changes));
      co_await std::move(limited);
    } catch (const std::system_error& e) {
      if (e.code() != std::errc::timed_out) throw;
    }
  }
  while (!r.won && r.failed < addresses.size()) {
    r.changed.reset();
    co_await r.changed.wait();
  }
  attempts.cancel();
  co_await attempts.join();
  if (!r.won) std::rethrow_exception(r.error);
  co_return std::move(*r.won);
}

}  // namespace weir
