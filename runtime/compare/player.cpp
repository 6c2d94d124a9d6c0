#include "weir/compare/detail/player.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <queue>
#include <stdexcept>
#include <unordered_map>
#include <utility>

#include "played_connection.hpp"
#include "weir/base/error.hpp"
#include "weir/base/unique_fd.hpp"

namespace weir::compare {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr auto longest_wait_for_first = 5s;  // answer
constexpr auto longest_wait_for_last = 1s;

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

double quantile(const std::vector<float>& sorted, double q) {
  if (sorted.empty()) return 0;
  return sorted[std::min(sorted.size() - 1,
                         static_cast<std::size_t>(q * static_cast<double>(sorted.size())))];
}

// Plays scripts, from the first on, again and again.
class performance {
 public:
  performance(const std::vector<script>& all, std::uint16_t port, const pace& how,
              std::chrono::milliseconds time)
      : all_(all),
        how_(how),
        set_(::epoll_create1(EPOLL_CLOEXEC)),
        began_(clock::now()),
        end_(began_ + time),
        length_(how.percent == 0 ? 0us : length_of(all) * 100 / how.percent) {
    if (!set_) throw_system_error(errno, "epoll_create1");
    to_.sin_family = AF_INET;
    to_.sin_port = htons(port);
    to_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }

  played run() {
    for (auto now = clock::now();; now = clock::now()) {
      begin_more(now);
      if (is_done(now)) break;
      wait(now);
      if (const auto woken = clock::now(); woken - checked_ > 100ms) give_up_late_ones(checked_ = woken);
    }
    return result();
  }

 private:
  using id = std::uint64_t;
  struct alarm {
    clock::time_point at;
    id of;
    bool operator<(const alarm& other) const noexcept { return other.at < at; }  // the earliest is on top
  };

  [[nodiscard]] bool is_open_loop() const noexcept { return how_.percent != 0; }

  // Where the recording begins that holds the next connection.
  [[nodiscard]] clock::time_point round_began() const noexcept {
    return began_ + length_ * static_cast<long>(next_ / all_.size());
  }
  [[nodiscard]] clock::time_point next_beginning() const noexcept {
    return round_began() + all_[next_ % all_.size()].began * 100 / how_.percent;
  }

  void begin_more(clock::time_point now) {
    if (is_open_loop())
      while (next_beginning() <= now && next_beginning() < end_) begin(now);
    else  // what ends in begin() is not replaced before the next turn
      for (std::size_t missing = how_.at_once - playing_.size(); missing != 0; --missing) begin(now);
  }

  void begin(clock::time_point now) {
    const auto from = round_began();
    const id number = next_++;
    const auto made = playing_.try_emplace(number, all_[number % all_.size()], to_, from, how_.percent).first;
    ::epoll_event what{};
    what.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    what.data.u64 = number;
    if (::epoll_ctl(set_.get(), EPOLL_CTL_ADD, made->second.fd(), &what) != 0)
      throw_system_error(errno, "epoll_ctl");
    go_on(number, now);
  }

  [[nodiscard]] bool is_done(clock::time_point now) const {
    if (!is_open_loop())  // a busy machine may be late with the first answer
      return now >= end_ && (!latencies_.empty() || now >= began_ + longest_wait_for_first);
    if (now < end_) return false;
    return now >= end_ + longest_wait_for_last ||
           std::none_of(playing_.begin(), playing_.end(),
                        [&](const auto& each) { return each.second.waits(end_); });
  }

  void wait(clock::time_point now) {
    auto until = now + 100ms;
    if (!alarms_.empty()) until = std::min(until, alarms_.top().at);
    if (is_open_loop() && next_beginning() < end_) until = std::min(until, next_beginning());
    if (!is_open_loop() && playing_.size() < how_.at_once) until = now;
    const auto left = std::max<clock::duration>(until - now, 0ns);
    const ::timespec time{std::chrono::duration_cast<std::chrono::seconds>(left).count(),
                          (left % 1s).count()};
    ::pollfd ready{set_.get(), POLLIN, 0};  // epoll_wait has no finer time than a millisecond
    if (::ppoll(&ready, 1, &time, nullptr) < 0 && errno != EINTR) throw_system_error(errno, "ppoll");
    std::array<::epoll_event, 256> events;
    const int count = ::epoll_wait(set_.get(), events.data(), static_cast<int>(events.size()), 0);
    const auto woken = clock::now();
    for (int i = 0; i < count; ++i) go_on(events[static_cast<std::size_t>(i)].data.u64, woken);
    while (!alarms_.empty() && alarms_.top().at <= woken) {
      const id of = alarms_.top().of;
      alarms_.pop();
      go_on(of, woken);
    }
  }

  void go_on(id number, clock::time_point now) {
    const auto found = playing_.find(number);
    if (found == playing_.end()) return;
    played_connection& it = found->second;
    it.go_on(now, is_open_loop() ? end_ : clock::time_point::max(), latencies_);
    if (it.is_over(now)) return drop(found);
    if (it.next() > now && is_open_loop()) alarms_.push({it.next(), number});
  }

  void drop(std::unordered_map<id, played_connection>::iterator which) {
    played_connection& it = which->second;
    it.judge_rest();
    if (!it.has_all()) add_unanswered(it);
    if (it.differs()) {
      ++out_.different;
      if (!out_.first) {
        out_.first = it.differs();
        out_.first->repetition = which->first / all_.size();
      }
    }
    playing_.erase(which);
  }

  void add_unanswered(const played_connection& it) {
    if (is_open_loop())
      it.add_unanswered(end_, unanswered_);
    else
      ++out_.unanswered;
  }

  void give_up_late_ones(clock::time_point now) {
    for (auto at = playing_.begin(); at != playing_.end();) {
      const auto which = at++;
      which->second.give_up_if_late(now);
      if (which->second.is_over(now)) drop(which);
    }
  }

  played result() {
    const auto now = clock::now();
    if (is_open_loop())
      for (const auto& each : playing_) add_unanswered(each.second);
    out_.exchanges = latencies_.size();
    out_.unanswered += unanswered_.size();
    for (const auto due : unanswered_)
      latencies_.push_back(std::chrono::duration<float, std::micro>(now - due).count());
    out_.seconds = std::chrono::duration<double>(now - began_).count();
    std::sort(latencies_.begin(), latencies_.end());
    out_.p50_us = quantile(latencies_, 0.5);
    out_.p99_us = quantile(latencies_, 0.99);
    out_.p999_us = quantile(latencies_, 0.999);
    return std::move(out_);
  }

  const std::vector<script>& all_;
  pace how_;
  unique_fd set_;
  clock::time_point began_;
  clock::time_point end_;   // what is due later is not sent
  clock::duration length_;  // of the recording, as it is played
  sockaddr_in to_{};
  id next_ = 0;  // connection; the scripts are gone through again and again
  std::unordered_map<id, played_connection> playing_;
  std::priority_queue<alarm> alarms_;
  clock::time_point checked_ = began_;
  std::vector<float> latencies_;  // microseconds
  std::vector<clock::time_point> unanswered_;
  played out_;
};

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
  std::chrono::microseconds zero{};
  for (const auto& each : recorded.conversations) {
    if (each.ended == recording::conversation::ending::unknown) continue;
    if (out.empty()) zero = each.began;
    script made;
    made.number = each.number;
    made.began = each.began - zero;
    if (each.ended != recording::conversation::ending::by_server) made.left = each.ended_at - zero;
    recording::redaction hides(changing_headers());
    for (const auto& piece : each.pieces) {
      const bool begins = made.steps.empty() || (piece.from_client && !made.steps.back().expect.empty());
      if (begins) made.steps.emplace_back().due = piece.from_client ? piece.at - zero : made.began;
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

std::chrono::microseconds length_of(const std::vector<script>& all) {
  std::chrono::microseconds out = 1ms;
  for (const script& each : all) out = std::max({out, each.left, each.began, each.steps.back().due});
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
  std::string out = fmt::format("connection {}, byte {}: recorded {} \"{}\", got {} \"{}\"", d.connection,
                                d.offset, hexadecimal(d.expected), printable(d.expected),
                                d.got.empty() ? "nothing" : hexadecimal(d.got), printable(d.got));
  if (d.repetition != 0)
    out += fmt::format(
        "; the recording had been played {} time{} before, and a handler that keeps state may answer "
        "otherwise when it is asked again",
        d.repetition, d.repetition == 1 ? "" : "s");
  return out;
}

played play(const std::vector<script>& all, std::uint16_t port, const pace& how,
            std::chrono::milliseconds time) {
  return performance(all, port, how, time).run();
}

std::string told_of(const played& p) {
  std::string out = fmt::format(
      "  50% {:.1f}us\n  99% {:.1f}us\n  99.9% {:.1f}us\n{} requests in {:.2f} s\nRequests/sec: {:.2f}\n",
      p.p50_us, p.p99_us, p.p999_us, p.exchanges, p.seconds,
      p.seconds > 0 ? static_cast<double>(p.exchanges) / p.seconds : 0);
  if (p.unanswered != 0) out += fmt::format("unanswered: {}\n", p.unanswered);
  if (p.different != 0)
    out += fmt::format("different: {} connections; the first: {}\n", p.different,
                       p.first ? shown(*p.first) : "");
  return out;
}

}  // namespace weir::compare
