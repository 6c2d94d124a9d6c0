#include "weir/process/detail/parked_connections.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <new>
#include <utility>
#include <vector>

#include "weir/process/detail/signals.hpp"

namespace weir::process {
namespace {

// The flags belong to the open file, which its next owner shares.
void send_signals(int fd, bool yes) noexcept {
  const int flags = ::fcntl(fd, F_GETFL);
  ::fcntl(fd, F_SETFL, yes ? flags | O_ASYNC : flags & ~O_ASYNC);
}

short events_of(int fd) noexcept {
  ::pollfd one{fd, POLLIN | POLLRDHUP, 0};
  const int count = ::poll(&one, 1, 0);
  // A connection that is thought to be awake waits at its next owner; one that is thought to sleep waits for
  // ever.
  if (count < 0) return POLLIN;
  return count > 0 ? one.revents : short{0};
}

}  // namespace

void parked_connections::add(passed_connection connection) {
  const int fd = connection.get();
  ::fcntl(fd, F_SETOWN, ::getpid());
  ::fcntl(fd, F_SETSIG, io_signal());
  send_signals(fd, true);
  all_.push_back({std::move(connection), clock::now()});
  try {
    by_number_[fd] = std::prev(all_.end());
    // No signal tells of bytes that came before.
    if (events_of(fd) != 0) awake_.push_back(fd);
  } catch (const std::bad_alloc&) {
    by_number_.erase(fd);
    all_.pop_back();
    throw;
  }
}

void parked_connections::clear() noexcept {
  awake_.clear();
  by_number_.clear();
  all_.clear();
}

void parked_connections::stirred(int fd) {
  if (by_number_.contains(fd)) awake_.push_back(fd);
}

void parked_connections::any_stirred() {
  std::vector<::pollfd> set;
  for (const auto& each : all_) set.push_back({each.fd.get(), POLLIN | POLLRDHUP, 0});
  const bool unknown = ::poll(set.data(), set.size(), 0) < 0;
  for (const auto& each : set)
    if (unknown || each.revents != 0) awake_.push_back(each.fd);
}

passed_connection parked_connections::take(std::list<entry>::iterator at) {
  passed_connection out = std::move(at->fd);
  by_number_.erase(out.get());
  all_.erase(at);
  send_signals(out.get(), false);
  return out;
}

passed_connection parked_connections::take_awake() {
  while (!awake_.empty()) {
    const int fd = awake_.front();
    awake_.pop_front();
    const auto at = by_number_.find(fd);
    if (at == by_number_.end()) continue;  // the second signal of a connection
    const short events = events_of(fd);
    if (events == 0) continue;  // the signal of another connection that had this number before
    passed_connection out = take(at->second);
    char byte;
    if ((events & ~POLLIN) == 0 || ::recv(out.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) return out;
  }
  return {};
}

parked_connections::clock::time_point parked_connections::close_idle(std::chrono::milliseconds timeout,
                                                                     clock::time_point now) {
  if (timeout.count() == 0) return clock::time_point::max();
  while (!all_.empty() && all_.front().since + timeout <= now) take(all_.begin()).reset();
  return all_.empty() ? clock::time_point::max() : all_.front().since + timeout;
}

bool parked_connections::give_to(descriptor_channel& other) {
  for (bool given = false;; given = true) {
    if (all_.empty()) return given;
    const int fd = all_.front().fd.get();
    send_signals(fd, false);
    if (other.send({message::kind::parked, 0, all_.front().fd.layers}, fd) != descriptor_channel::sent::yes) {
      send_signals(fd, true);
      if (events_of(fd) != 0) awake_.push_back(fd);  // bytes came while no signal was sent
      return given;
    }
    // The flags belong to the open file, and the other master may have set them already: they are not touched
    // again.
    by_number_.erase(fd);
    all_.pop_front();
  }
}

}  // namespace weir::process
