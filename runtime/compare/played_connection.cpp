#include "played_connection.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "weir/base/error.hpp"

namespace weir::compare {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 5s;  // for an answer

}  // namespace

played_connection::played_connection(const script& what, const sockaddr_in& to, clock::time_point from,
                                     unsigned percent)
    : what_(what),
      from_(from),
      percent_(percent),
      fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)),
      hides_(changing_headers()) {
  if (!fd_) throw_system_error(errno, "socket");
  const int yes = 1;
  ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS)
    broken_ = true;
  if (percent != 0 && what.left != what.left.zero()) leaves_ = time_of(what.left);
  begin_step();
}

played_connection::clock::time_point played_connection::time_of(
    std::chrono::microseconds recorded) const noexcept {
  return from_ + recorded * 100 / percent_;
}

void played_connection::go_on(clock::time_point now, clock::time_point end, std::vector<float>& latencies) {
  // In a closed loop what is due is due at once, later than `now`.
  while (waits(end) && (percent_ == 0 || due_ <= now) && write_some() && read_some()) {
    const script::step& step = what_.steps[at_];
    if (got_.size() < step.expect.size() || sent_ < step.send.size()) return;
    end_step(latencies);
  }
}

void played_connection::give_up_if_late(clock::time_point now) noexcept {
  if (!has_all() && now - begun_ > patience) broken_ = true;
}

void played_connection::add_unanswered(clock::time_point end, std::vector<clock::time_point>& dues) const {
  for (std::size_t i = at_; i < what_.steps.size(); ++i)
    if (const auto due = time_of(what_.steps[i].due); due < end) dues.push_back(due);
}

void played_connection::judge_rest() {
  if (has_all() || differs_) return;
  compare();
  if (differs_) return;
  const std::string& expected = what_.steps[at_].expect;
  differs_ = {what_.number, before_ + got_.size(),
              expected.substr(std::min(got_.size(), expected.size()), most_shown), "", 0};
}

void played_connection::begin_step() noexcept {
  sent_ = 0;
  const auto now = clock::now();
  due_ = percent_ == 0 ? now : time_of(what_.steps[at_].due);
  begun_ = std::max(now, due_);
}

// As far as there is room; answers that fill the other way are read meanwhile. False: it has broken.
bool played_connection::write_some() {
  const std::string& all = what_.steps[at_].send;
  while (sent_ < all.size()) {
    const ssize_t n = ::send(fd_.get(), all.data() + sent_, all.size() - sent_, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;  // also while it connects
    broken_ = n < 0;
    if (broken_) return false;
    sent_ += static_cast<std::size_t>(n);
  }
  return true;
}

bool played_connection::read_some() {
  std::array<char, 65536> buffer;
  for (;;) {
    if (got_.size() >= what_.steps[at_].expect.size()) return true;
    const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) {
      broken_ = true;
      return false;
    }
    hides_.append(got_, {buffer.data(), static_cast<std::size_t>(n)});
  }
}

void played_connection::compare() {
  const std::string& expected = what_.steps[at_].expect;
  const auto [mine, theirs] = std::mismatch(expected.begin(), expected.end(), got_.begin(), got_.end());
  if (mine == expected.end() || theirs == got_.end()) return;
  const auto offset = static_cast<std::size_t>(mine - expected.begin());
  differs_ = {what_.number, before_ + offset, expected.substr(offset, most_shown),
              got_.substr(offset, most_shown), 0};
}

void played_connection::end_step(std::vector<float>& latencies) {
  latencies.push_back(std::chrono::duration<float, std::micro>(clock::now() - due_).count());
  if (!differs_) compare();
  const std::size_t size = what_.steps[at_].expect.size();
  before_ += size;
  got_.erase(0, size);
  if (++at_ < what_.steps.size()) begin_step();
}

}  // namespace weir::compare
