#include "weir/compare/detail/player.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <stdexcept>

#include "weir/base/error.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/compare/detail/redaction.hpp"

namespace weir::compare {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr auto patience = 5s;        // for an answer
constexpr std::size_t excerpt = 32;  // bytes of an answer that differs

std::string hexadecimal(std::string_view bytes) {
  std::string out;
  for (const char c : bytes)
    out += fmt::format("{}{:02x}", out.empty() ? "" : " ", static_cast<unsigned char>(c));
  return out;
}

std::string printable(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += c >= ' ' && c < 0x7f ? c : '.';
  return out;
}

// A connection that plays a script.
class player {
 public:
  player(const script& what, const sockaddr_in& to) : what_(what), hides_(changing_headers()) {
    fd_ = unique_fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd_) throw_system_error(errno, "socket");
    const int yes = 1;
    ::setsockopt(fd_.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS)
      broken_ = true;
    begin_step();
  }

  [[nodiscard]] bool is_over() const noexcept { return broken_ || at_ == what_.steps.size(); }
  [[nodiscard]] bool has_all() const noexcept { return at_ == what_.steps.size(); }
  [[nodiscard]] ::pollfd interest() const noexcept {
    const bool writes = sent_ < what_.steps[at_].send.size();
    return {fd_.get(), static_cast<short>(writes ? POLLIN | POLLOUT : POLLIN), 0};
  }
  [[nodiscard]] const std::optional<difference>& differs() const noexcept { return differs_; }

  // `latencies` gets what the steps took that are over.
  void go_on(std::vector<float>& latencies) {
    while (!is_over() && write_some() && read_some()) {
      const script::step& now = what_.steps[at_];
      if (got_.size() < now.expect.size() || sent_ < now.send.size()) return;
      end_step(latencies);
    }
  }

  void give_up_if_late(clock::time_point now) noexcept {
    if (now - began_ > patience) broken_ = true;
  }

  // What was not answered whole differs too.
  void judge_rest() {
    if (has_all() || differs_) return;
    compare();
    if (!differs_)
      differs_ = {
          what_.number, before_ + got_.size(),
          what_.steps[at_].expect.substr(std::min(got_.size(), what_.steps[at_].expect.size()), excerpt), ""};
  }

 private:
  void begin_step() noexcept {
    sent_ = 0;
    began_ = clock::now();
  }

  // As far as there is room; answers that fill the other way are read meanwhile. False: it has broken.
  bool write_some() {
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

  bool read_some() {
    std::array<char, 65536> buffer;
    for (;;) {
      const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return true;
      if (n <= 0) {
        // The last answer may be followed by the end.
        broken_ = got_.size() < what_.steps[at_].expect.size() || at_ + 1 < what_.steps.size();
        return !broken_;
      }
      hides_.append(got_, {buffer.data(), static_cast<std::size_t>(n)});
      if (got_.size() >= what_.steps[at_].expect.size()) return true;
    }
  }

  void compare() {
    const std::string& expected = what_.steps[at_].expect;
    const auto [mine, theirs] = std::mismatch(expected.begin(), expected.end(), got_.begin(), got_.end());
    if (mine == expected.end() || theirs == got_.end()) return;
    const auto offset = static_cast<std::size_t>(mine - expected.begin());
    differs_ = {what_.number, before_ + offset, expected.substr(offset, excerpt),
                got_.substr(offset, excerpt)};
  }

  void end_step(std::vector<float>& latencies) {
    latencies.push_back(std::chrono::duration<float, std::micro>(clock::now() - began_).count());
    if (!differs_) compare();
    const std::size_t size = what_.steps[at_].expect.size();
    before_ += size;
    got_.erase(0, size);
    if (++at_ < what_.steps.size()) begin_step();
  }

  const script& what_;
  unique_fd fd_;
  recording::redaction hides_;
  std::size_t at_ = 0;  // the step
  std::size_t sent_ = 0;
  std::string got_;         // of this step, and of later ones
  std::size_t before_ = 0;  // bytes of earlier steps
  clock::time_point began_{};
  bool broken_ = false;
  std::optional<difference> differs_;
};

double quantile(const std::vector<float>& sorted, double q) {
  if (sorted.empty()) return 0;
  return sorted[std::min(sorted.size() - 1,
                         static_cast<std::size_t>(q * static_cast<double>(sorted.size())))];
}

}  // namespace

const std::vector<std::string>& changing_headers() {
  static const std::vector<std::string> names{"date", "set-cookie", "x-request-id"};
  return names;
}

std::vector<script> scripts_of(const recording::content& recorded) {
  if (!recorded.answers)
    throw std::runtime_error(
        "the recording has no answers, so that nothing tells when one is whole; record with record.answers = "
        "true");
  std::vector<script> out;
  for (const auto& each : recorded.conversations) {
    if (each.ended == recording::conversation::ending::unknown) continue;
    script made;
    made.number = each.number;
    recording::redaction hides(changing_headers());
    for (const auto& piece : each.pieces) {
      const bool begins = made.steps.empty() || (piece.from_client && !made.steps.back().expect.empty());
      if (begins) made.steps.emplace_back();
      if (piece.from_client)
        made.steps.back().send += piece.bytes;
      else
        hides.append(made.steps.back().expect, piece.bytes);
    }
    if (!made.steps.empty()) out.push_back(std::move(made));
  }
  if (out.empty()) throw std::runtime_error("no connection of the recording is whole");
  return out;
}

std::size_t most_at_once(const recording::content& recorded) {
  std::vector<std::pair<std::chrono::microseconds, int>> changes;
  for (const auto& each : recorded.conversations) {
    if (each.ended == recording::conversation::ending::unknown) continue;
    changes.emplace_back(each.began, 1);
    changes.emplace_back(each.ended_at, -1);
  }
  std::sort(changes.begin(), changes.end());
  int now = 0;
  int most = 1;
  for (const auto& change : changes) most = std::max(most, now += change.second);
  return static_cast<std::size_t>(most);
}

std::string shown(const difference& d) {
  return fmt::format("connection {}, byte {}: recorded {} \"{}\", got {} \"{}\"", d.connection, d.offset,
                     hexadecimal(d.expected), printable(d.expected),
                     d.got.empty() ? "nothing" : hexadecimal(d.got), printable(d.got));
}

played play(const std::vector<script>& all, std::uint16_t port, std::size_t at_once,
            std::chrono::milliseconds time) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  played out;
  std::vector<float> latencies;
  std::vector<std::unique_ptr<player>> playing;
  const auto began = clock::now();
  std::size_t next = 0;
  const auto goes_on = [&] {
    const auto since = clock::now() - began;
    return since < time ||
           (latencies.empty() && since < patience);  // a busy machine may be late with the first
  };
  while (goes_on()) {
    while (playing.size() < at_once)
      playing.push_back(std::make_unique<player>(all[next++ % all.size()], to));
    std::vector<::pollfd> set;
    for (const auto& each : playing) set.push_back(each->interest());
    if (::poll(set.data(), set.size(), 100) < 0 && errno != EINTR) throw_system_error(errno, "poll");
    const auto woken = clock::now();
    for (std::size_t i = 0; i < playing.size(); ++i) {
      if (set[i].revents != 0) playing[i]->go_on(latencies);
      playing[i]->give_up_if_late(woken);
    }
    std::erase_if(playing, [&](const auto& each) {
      if (!each->is_over()) return false;
      each->judge_rest();
      if (!each->has_all()) ++out.unanswered;
      if (each->differs()) {
        ++out.different;
        if (!out.first) out.first = each->differs();
      }
      return true;
    });
  }
  out.seconds = std::chrono::duration<double>(clock::now() - began).count();
  out.exchanges = latencies.size();
  std::sort(latencies.begin(), latencies.end());
  out.p50_us = quantile(latencies, 0.5);
  out.p99_us = quantile(latencies, 0.99);
  out.p999_us = quantile(latencies, 0.999);
  return out;
}

std::string told_of(const played& p) {
  std::string out = fmt::format(
      "  50% {:.1f}us\n  99% {:.1f}us\n  99.9% {:.1f}us\n{} requests in {:.2f} s\nRequests/sec: {:.2f}\n",
      p.p50_us, p.p99_us, p.p999_us, p.exchanges, p.seconds,
      p.seconds > 0 ? static_cast<double>(p.exchanges) / p.seconds : 0);
  if (p.different != 0)
    out += fmt::format("different: {} connections; the first: {}\n", p.different,
                       p.first ? shown(*p.first) : "");
  return out;
}

}  // namespace weir::compare
