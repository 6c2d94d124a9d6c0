// The listening sockets of a pool, and what it hands over to the program after it.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pool.hpp"
#include "weir/admin/detail/listener.hpp"
#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/connection/detail/tls_support.hpp"
#include "weir/listen/endpoint.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;

// The name of the admin listener among the sockets that a pool hands over to the next one.
std::string admin_name(const settings& s) {
  return s.admin.address.empty() ? std::string() : "admin " + s.admin.address;
}

// The same of the keys of tickets.
constexpr std::string_view tickets_name = "tickets";

// The kernel wakes one worker for a connection if all block in accept4, and all of them if they poll.
void make_blocking(const bound_socket& s) {
  const int flags = ::fcntl(s.get(), F_GETFL);
  if (flags < 0 || ::fcntl(s.get(), F_SETFL, flags & ~O_NONBLOCK) != 0)
    throw_system_error(errno, "listen on " + s.local().to_string());
}

}  // namespace

// The sockets of each address of `s`, in order; those that are not open are left out.
std::vector<std::size_t> pool::sockets_of(const settings& s) const {
  std::vector<std::size_t> out;
  for (const auto& address : s.listen)
    for (std::size_t i = 0; i < sockets_.size(); ++i)
      if (sockets_[i].address == address && std::find(out.begin(), out.end(), i) == out.end()) {
        out.push_back(i);
        break;
      }
  return out;
}

void pool::open_sockets(const settings& s, unsigned slots) {
  const bool grouped = s.processes.accept == accept_kind::reuseport;
  for (const auto& address : s.listen) {
    const auto asked = std::count(s.listen.begin(), s.listen.end(), address);
    const auto open = std::count_if(sockets_.begin(), sockets_.end(),
                                    [&](const named_socket& n) { return n.address == address; });
    if (open >= asked) continue;
    named_socket made{address, inherited(address, s)};
    const auto at = endpoint::parse(address);
    if (!made.group.empty())
      made.shared = made.group.size();
    else if (grouped)
      made.group = bind_group(at, std::max(slots, 1U), s.socket);
    else
      made.group.push_back(bound_socket::bind(at, s.socket));
    if (s.processes.accept == accept_kind::shared) make_blocking(made.group.front());
    sockets_.push_back(std::move(made));
  }
  for (auto& each : sockets_)
    while (grouped && each.group.size() < slots) {
      each.steered = std::chrono::steady_clock::time_point::max();
      each.group.push_back(join_group(each.group.front(), s.socket));
    }
}

void pool::open_admin_socket() {
  std::vector<bound_socket> before = inherited(admin_name(plan_.settings), plan_.settings);
  admin_ = before.empty() ? admin::listener::bind(plan_.settings) : std::optional(std::move(before.front()));
}

// The sockets that the pool before this one had open under that address; each is taken once.
std::vector<bound_socket> pool::inherited(const std::string& address, const settings& s) {
  std::vector<bound_socket> out;
  if (!from_) return out;
  auto& given = from_->sockets;
  for (auto each = given.begin(); each != given.end();) {
    const bool is_it =
        each->address == address && (out.empty() || s.processes.accept == accept_kind::reuseport);
    if (is_it) out.push_back(bound_socket::take_over(each->fd, s.socket, endpoint::parse(address).layers()));
    each = is_it ? given.erase(each) : std::next(each);
  }
  return out;
}

// The clients of the pool before this one keep their sessions.
void pool::take_tickets() {
  if (!from_) return;
  auto& given = from_->sockets;
  const auto its =
      std::find_if(given.begin(), given.end(), [](const auto& g) { return g.address == tickets_name; });
  if (its == given.end()) return;
  const unique_fd file(its->fd);
  given.erase(its);
  if (tls_provided() != nullptr) tls_provided()->take_tickets(file.get());
}

std::vector<process::named_descriptor> pool::to_hand_over() {
  std::vector<process::named_descriptor> out;
  tickets_ = plan_.tls ? tls_provided()->pass_tickets() : unique_fd();
  if (tickets_) out.push_back({tickets_.get(), std::string(tickets_name)});
  for (const auto& each : sockets_)
    for (const auto& socket : each.group) out.push_back({socket.get(), each.address});
  if (admin_) out.push_back({admin_->get(), admin_name(plan_.settings)});
  return out;
}

// Both masters steer the same groups, each for its own slots, so neither closes a socket while the other is
// there.
void pool::begin_sharing() {
  shares_ = true;
  for (auto& each : sockets_) each.shared = each.group.size();
  unlink_files(false);
}

void pool::end_sharing() {
  shares_ = false;
  unlink_files(true);
  steer(slots_);
}

// Sockets that the other master does not have get no new connections first.
void pool::close_sockets() {
  for (auto& each : sockets_) {
    if (!shares_ || each.shared == 0 || each.shared >= each.group.size()) continue;
    try {
      steer_to_first(each.group.front(), each.shared);
    } catch (const std::system_error& e) {
      log::error("{}", e.what());
    }
  }
  sockets_.clear();
}

// Of two masters the one that ends last removes the files of unix sockets.
void pool::unlink_files(bool yes) {
  for (auto& each : sockets_)
    for (auto& socket : each.group) socket.unlink_on_close(yes);
  if (admin_) admin_->unlink_on_close(yes);
}

// New connections go to sockets with a slot only; the others are emptied by the master, and then closed.
void pool::steer(unsigned slots) {
  slots_ = slots;
  if (plan_.settings.processes.accept != accept_kind::reuseport) return;
  for (auto& each : sockets_) {
    try {
      steer_to_first(each.group.front(), slots < each.group.size() ? slots : 0);
      each.steered = std::chrono::steady_clock::now();
    } catch (const std::system_error& e) {
      // New connections still come to the sockets without a slot, so the master has to go on emptying them.
      each.steered = std::chrono::steady_clock::time_point::max();
      log::error("{}", e.what());
    }
  }
}

// The listeners from which the master takes connections itself.
std::vector<process::watched_listener> pool::watched(const std::vector<bool>& occupied) {
  std::vector<process::watched_listener> out;
  const auto add = [&out](const bound_socket& s) { out.push_back({s.get(), s.local().layers()}); };
  const auto mode = plan_.settings.processes.accept;
  if (mode == accept_kind::notify || mode == accept_kind::dispatch)
    for (const std::size_t i : sockets_of(plan_.settings)) add(sockets_[i].group.front());
  if (mode != accept_kind::reuseport || slots_ == 0) return out;
  const auto long_ago = std::chrono::steady_clock::now() - 1s;
  for (auto& each : sockets_) {
    // A handshake that began before the steering has ended by then. A socket that is closed earlier resets
    // connections.
    if (!coming_ && !shares_ && each.steered < long_ago)
      while (each.group.size() > slots_) each.group.pop_back();
    for (std::size_t i = 0; i < each.group.size(); ++i)
      if (i >= occupied.size() || !occupied[i]) add(each.group[i]);
  }
  return out;
}

std::vector<int> pool::own_listeners(unsigned index) const {
  std::vector<int> out;
  for (const auto& each : sockets_)
    if (index < each.group.size()) out.push_back(each.group[index].get());
  return out;
}

// Closes those that `s` does not name.
void pool::keep_sockets(const settings& s) {
  std::vector<named_socket> kept;
  for (const std::size_t i : sockets_of(s)) kept.push_back(std::move(sockets_[i]));
  sockets_ = std::move(kept);
}

}  // namespace weir
