// server: what is counted of it, for others to read.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "weir/base/detail/line_file.hpp"
#include "weir/base/log.hpp"
#include "weir/dump/detail/dump.hpp"
#include "weir/dump/detail/recorder.hpp"
#include "weir/server/server.hpp"
#include "weir/task/detail/block_pool.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;
using observe::figure;

// How old may be what is not counted where it happens.
constexpr auto interval = 500ms;

}  // namespace

void server::begin_admin() {
  std::vector<std::string> listen;
  for (const bound_socket& each : listeners_)
    if (const std::string text = each.local().to_string(); std::ranges::find(listen, text) == listen.end())
      listen.push_back(text);  // each loop may have a socket of its own
  std::vector<admin::report> reports{
      {"/dump", "application/json", [] { return dump::text_of_this(true); }},
      {"/dump.txt", "text/plain; charset=utf-8", [] { return dump::text_of_this(false); }},
      {"/recorder", "application/json", [] { return dump::trace_of_one(::getpid()); }}};
  admin_.emplace((*cores_)[0], *admin_socket_, settings_.admin.token,
                 admin::source{board_, [this] { write_figures(); }, std::move(listen), std::move(reports)});
  survey_.emplace(board_, score_);
}

void server::begin_recording() {
  // What was before this server has been counted, or is the master's.
  told_[6] = log::lines_in_files();
  told_[7] = log::lost_lines_of_files();
  told_[8] = log::lost_lines();
  for (core& c : *cores_) {
    const std::size_t i = recording_.size();
    recording_.emplace_back(c, [this, &c, i] {
      c.write_levels();
      if (i == 0) write_figures();
      if (i == 0 && survey_) survey_->step();
      recording_[i].expires_after(interval);
    });
    c.post([this, i] { recording_[i].expires_after(interval); });
  }
}

// In a pool the master says so.
void server::tell_state(process::worker_score::state now) noexcept {
  if (own_board_) score_.now = now;
}

void server::write_figures() noexcept {
  observe::figures& to = *ledger_.first().counted;
  std::uint64_t of_addresses = threads_ ? threads_->refused() : 0;
  for (const auto& r : starters_) of_addresses += r.refused();
  const std::uint64_t all = refused();
  // Those that an earlier process of this place has counted stay.
  auto put = [&, n = std::size_t{0}](figure f, std::uint64_t now) mutable {
    to[f].add(now - told_[n]);
    told_[n++] = now;
  };
  const std::uint64_t of_headers = proxied_.refused();
  put(figure::refused, all - of_addresses - of_headers);
  put(figure::refused_per_ip, of_addresses);
  put(figure::refused_header, of_headers);
  put(figure::dropped, dropped());
  put(figure::accept_pauses, accept_pauses());
  put(figure::fruitless, fruitless_accepts());
  put(figure::file_lines, log::lines_in_files());
  put(figure::lost_file_lines, log::lost_lines_of_files());
  put(figure::lost_log_lines, log::lost_lines());
  to[figure::queued_jobs].set(offload_->queued());
  to[figure::frame_bytes].set(block_pool::bytes());
  write_listener_figures(to);
  if (!counts_live_) score_.connections.store(connections(), std::memory_order_relaxed);
  std::uint64_t requests = 0;
  for (core& c : *cores_) requests += c.requests();
  if (own_board_)
    for (const auto& thread : board_.ledger().used_threads())
      requests += thread.counted[figure::requests].read();
  score_.accepted.store(accepted(), std::memory_order_relaxed);
  score_.requests.store(requests, std::memory_order_relaxed);
  score_.refused.store(all, std::memory_order_relaxed);
  score_.fruitless.store(fruitless_accepts(), std::memory_order_relaxed);
}

// What the kernel says of a listening TCP socket: how many it holds, and how many it may. It says nothing of
// a unix socket.
void server::write_listener_figures(observe::figures& to) noexcept {
  std::uint64_t held = 0;
  std::uint64_t most = 0;
  for (const bound_socket& each : listeners_) {
    ::tcp_info info{};
    ::socklen_t size = sizeof info;
    if (!each.local().is_tcp() || ::getsockopt(each.get(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
      continue;
    held += info.tcpi_unacked;
    most += info.tcpi_sacked;
  }
  to[figure::accept_queue].set(held);
  to[figure::accept_queue_limit].set(most);
}

std::optional<endpoint> server::admin_address() const {
  return admin_socket_ ? std::optional(admin_socket_->local()) : std::nullopt;
}

std::vector<std::uint32_t> server::connections_per_core() const {
  std::vector<std::uint32_t> out;
  for (const auto& r : starters_) out.push_back(r.load());
  return out;
}

std::uint64_t server::accepted() const noexcept {
  std::uint64_t sum = handed_over_;
  for (const auto& a : acceptors_) sum += a.accepted();
  for (const auto& a : accept_threads_) sum += a.accepted();
  return sum;
}

std::uint64_t server::refused() const noexcept {
  std::uint64_t sum = refused_here_;
  for (const auto& a : acceptors_) sum += a.refused();
  for (const auto& a : accept_threads_) sum += a.refused();
  for (const auto& r : starters_) sum += r.refused();
  if (threads_) sum += threads_->refused();
  return sum + proxied_.refused();
}

std::uint64_t server::dropped() const noexcept {
  std::uint64_t sum = deliver_ ? deliver_->dropped() : 0;
  for (const auto& a : acceptors_) sum += a.dropped();
  for (const auto& a : accept_threads_) sum += a.dropped();
  for (const auto& r : starters_) sum += r.dropped();
  if (threads_) sum += threads_->dropped();
  return sum;
}

std::uint64_t server::accept_pauses() const noexcept {
  std::uint64_t sum = pauses_here_;
  for (const auto& a : acceptors_) sum += a.pauses();
  for (const auto& a : accept_threads_) sum += a.pauses();
  return sum;
}

std::uint64_t server::fruitless_accepts() const noexcept {
  std::uint64_t sum = found_nobody_;
  for (const auto& a : accept_threads_) sum += a.fruitless();
  return sum;
}

std::uint32_t server::connections() const noexcept {
  std::uint32_t waiting = 0;  // permits without a connection
  for (const auto& a : accept_threads_) waiting += a.holds_permit() ? 1 : 0;
  const auto used = permits_.in_use();
  return used - std::min(used, waiting);
}

}  // namespace weir
