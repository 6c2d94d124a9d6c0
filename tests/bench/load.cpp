// The load of the benchmarks: one thread, one epoll set, a closed loop over many connections. Every byte
// that comes back is compared with what was sent, so a server that is fast and wrong fails.
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "histogram.hpp"
#include "target.hpp"

namespace {

enum class closing { orderly, reset, half };

enum class mode { echo, connect, idle };

struct options {
  std::string connect;
  mode what = mode::echo;
  closing close = closing::orderly;
  unsigned connections = 64;
  unsigned size = 64;
  unsigned depth = 1;
  unsigned idle = 0;
  unsigned sources = 1;
  double seconds = 0;
  double timeout = 10;
  std::uint64_t requests = 0;
  double grace = -1;  // seconds; negative: without end
  bool human = false;
};

constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t pattern_span = 65536;

std::uint64_t now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

// What message `sequence` of connection `id` holds: a window of one random table, so that nothing is
// copied to send and one memcmp checks what came back.
class pattern {
 public:
  explicit pattern(std::size_t size) : table_(pattern_span + size) {
    std::uint64_t state = 0x9e3779b97f4a7c15;
    for (auto& byte : table_) {
      state = state * 6364136223846793005 + 1442695040888963407;
      byte = static_cast<char>(state >> 56);
    }
  }
  [[nodiscard]] const char* message(std::uint64_t id, std::uint64_t sequence) const noexcept {
    const std::uint64_t mixed = (id * 0x9e3779b97f4a7c15 + sequence) * 0xd1342543de82ef95;
    return table_.data() + (mixed >> 48);
  }

 private:
  std::vector<char> table_;
};

struct connection {
  int fd = -1;
  std::uint64_t id = 0;        // a new one per cycle
  std::uint64_t started = 0;   // messages
  std::uint64_t sent = 0;      // bytes
  std::uint64_t received = 0;  // bytes
  std::uint64_t opened = 0;    // when
  bool arrived = false;        // connected, or found that it cannot be
  bool blocked = false;        // waits for room to send
  bool half_shut = false;      // has said its end, waits for the server's
  bool resting = false;        // has all its answers and nothing more to ask
};

class load {
 public:
  explicit load(const options& o)
      : options_(o), target_(o.connect, o.sources), pattern_(o.size), set_(::epoll_create1(EPOLL_CLOEXEC)) {
    if (set_ < 0) fail("epoll_create1");
    const bool idle = o.what == mode::idle;
    single_ = o.what != mode::echo;
    budget_ = idle ? o.idle : o.requests != 0 ? o.requests : no_limit;
    connections_.resize(idle ? o.idle : o.connections);
    times_.resize(connections_.size() * o.depth);
    served_.resize(connections_.size());
    buffer_.resize(std::max<std::size_t>(65536, std::size_t{o.size} * o.depth));
  }

  void run() {
    if (!single_) arriving_ = connections_.size();
    start_clock();
    for (auto& c : connections_) {
      begin(c);
      // Idle connections come one after the other: a burst of thousands would measure the backlog.
      if (options_.what == mode::idle) serve_all();
    }
    serve_all();
    if (options_.what == mode::idle) hold();
    for (auto& c : connections_) leave(c, time_is_up() ? closing::reset : options_.close);
  }

  void report() const {
    const double seconds = static_cast<double>(ended_ - began_) / 1e9;
    const double rate = options_.grace >= 0 ? static_cast<double>(in_time_) / options_.seconds
                        : seconds > 0       ? static_cast<double>(completed_) / seconds
                                            : 0;
    const auto us = [&](double share) { return static_cast<double>(latency_.percentile(share)) / 1e3; };
    const double max = static_cast<double>(latency_.max()) / 1e3;
    const auto served = static_cast<unsigned long long>(std::count(served_.begin(), served_.end(), true));
    std::printf(options_.human
                    ? "requests    %12llu\nseconds     %12.3f\nrequests/s  %12.0f\nerrors      %12llu\n"
                      "p50 us      %12.1f\np90 us      %12.1f\np99 us      %12.1f\np99.9 us    %12.1f\n"
                      "max us      %12.1f\nserved      %12llu\n"
                    : "{\"requests\": %llu, \"seconds\": %.6f, \"requests_per_second\": %.1f, "
                      "\"errors\": %llu, \"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, "
                      "\"p99_9_us\": %.1f, \"max_us\": %.1f, \"served\": %llu}\n",
                static_cast<unsigned long long>(completed_), seconds, rate,
                static_cast<unsigned long long>(errors_), us(0.5), us(0.9), us(0.99), us(0.999), max, served);
  }

  [[nodiscard]] std::uint64_t errors() const noexcept { return errors_; }

 private:
  [[nodiscard]] bool time_is_up() const {
    return options_.grace >= 0 && now() >= deadline_ + static_cast<std::uint64_t>(options_.grace * 1e9);
  }

  // One message, or in connect mode one cycle, out of what --requests or --seconds allow.
  bool take() noexcept {
    if (budget_ == 0 || clock_ >= deadline_) return false;
    if (budget_ != no_limit) --budget_;
    return true;
  }

  void begin(connection& c) {
    c = connection{};
    if (single_ && !take()) return;
    c.id = next_id_++;
    c.opened = now();
    c.fd = target_.open();
    c.blocked = true;  // the first EPOLLOUT says that it is connected
    watch(EPOLL_CTL_ADD, c, EPOLLIN | EPOLLOUT);
    ++busy_;
  }

  void start_clock() noexcept {
    began_ = ended_ = clock_ = now();
    if (options_.seconds > 0) deadline_ = began_ + static_cast<std::uint64_t>(options_.seconds * 1e9);
  }

  // Nobody asks, and no time runs, before all are connected: how long a thousand connects take would be part
  // of the rate.
  void arrived(connection& c) {
    c.arrived = true;
    if (c.fd >= 0) {
      c.blocked = false;
      watch(EPOLL_CTL_MOD, c, EPOLLIN);
    }
    if (--arriving_ != 0) return;
    start_clock();
    for (auto& each : connections_)
      if (each.fd >= 0) guarded(each, [this, &each] { send(each); });
  }

  void watch(int operation, connection& c, std::uint32_t events) const {
    epoll_event e{events, {.ptr = &c}};
    if (::epoll_ctl(set_, operation, c.fd, &e) < 0) fail("epoll_ctl");
  }

  void serve_all() {
    epoll_event events[512];
    while (busy_ > 0 && !time_is_up()) {
      const int n = ::epoll_wait(set_, events, 512, options_.grace >= 0 ? 5 : 100);
      if (n < 0 && errno != EINTR) fail("epoll_wait");
      for (int i = 0; i < n; ++i) serve(*static_cast<connection*>(events[i].data.ptr), events[i].events);
      if (n <= 0 && static_cast<double>(now() - clock_) > options_.timeout * 1e9)
        fail("no answer for " + std::to_string(options_.timeout) + " s on " + std::to_string(busy_) +
                 " connections",
             0);
    }
  }

  void serve(connection& c, std::uint32_t events) {
    guarded(c, [this, &c, events] {
      if ((events & ~std::uint32_t{EPOLLOUT}) != 0) {
        receive(c);
      } else if (arriving_ != 0) {
        arrived(c);
      } else if (c.blocked) {
        clock_ = now();
        send(c);
      }
    });
  }

  template <class F>
  void guarded(connection& c, F f) {
    try {
      f();
    } catch (const std::exception& e) {
      if (errors_++ == 0) std::fprintf(stderr, "load: %s\n", e.what());
      leave(c, closing::reset);
      if (arriving_ != 0 && !c.arrived) arrived(c);
    }
  }

  void receive(connection& c) {
    const ssize_t n = ::recv(c.fd, buffer_.data(), buffer_.size(), 0);
    if (n < 0) {
      if (errno == EAGAIN) return;
      fail(c.sent == 0 ? "connect" : "recv");
    }
    clock_ = now();
    if (n == 0) {
      if (!c.half_shut) fail("the server closed a connection too early", 0);
      next_cycle(c);
      return;
    }
    if (c.received + static_cast<std::uint64_t>(n) > c.sent) fail("more bytes came back than were sent", 0);
    compare(c, static_cast<std::size_t>(n));
    send(c);
    if (c.received == c.started * options_.size) rest(c);
  }

  void compare(connection& c, std::size_t n) {
    const char* at = buffer_.data();
    while (n > 0) {
      const std::uint64_t sequence = c.received / options_.size;
      const std::size_t offset = c.received % options_.size;
      const std::size_t part = std::min(n, options_.size - offset);
      if (std::memcmp(at, pattern_.message(c.id, sequence) + offset, part) != 0)
        fail("message " + std::to_string(sequence) + " of a connection came back changed", 0);
      at += part;
      n -= part;
      c.received += part;
      if (offset + part == options_.size && options_.what != mode::connect)
        complete(c, times_[time_slot(c, sequence)]);
    }
  }

  void complete(const connection& c, std::uint64_t since) noexcept {
    served_[index_of(c)] = true;
    latency_.record(clock_ - since);
    ++completed_;
    if (clock_ <= deadline_) ++in_time_;
    ended_ = clock_;
  }

  [[nodiscard]] std::size_t index_of(const connection& c) const noexcept {
    return static_cast<std::size_t>(&c - connections_.data());
  }
  [[nodiscard]] std::size_t time_slot(const connection& c, std::uint64_t sequence) const noexcept {
    return index_of(c) * options_.depth + sequence % options_.depth;
  }

  [[nodiscard]] bool may_start(const connection& c, std::uint64_t answered) noexcept {
    if (single_) return c.started == 0;
    return c.started < answered + options_.depth && take();
  }

  void send(connection& c) {
    const std::uint64_t answered = c.received / options_.size;
    while (may_start(c, answered)) times_[time_slot(c, c.started++)] = clock_;

    const std::uint64_t wanted = c.started * options_.size;
    while (c.sent < wanted) {
      const ssize_t n = send_some(c);
      if (n < 0 && errno != EAGAIN) fail(c.sent == 0 ? "connect" : "send");
      if (n < 0) break;
      c.sent += static_cast<std::uint64_t>(n);
    }
    if (c.blocked != (c.sent < wanted)) {
      c.blocked = !c.blocked;
      watch(EPOLL_CTL_MOD, c, c.blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
    if (wanted == 0) rest(c);
  }

  ssize_t send_some(connection& c) {
    const std::uint64_t sequence = c.sent / options_.size;
    const std::size_t offset = c.sent % options_.size;
    const char* first = pattern_.message(c.id, sequence) + offset;
    if (sequence + 1 == c.started) return ::send(c.fd, first, options_.size - offset, MSG_NOSIGNAL);

    iovec parts[64];
    std::size_t count = 0;
    for (std::uint64_t i = sequence; i < c.started && count < 64; ++i)
      parts[count++] = {const_cast<char*>(pattern_.message(c.id, i)), options_.size};
    parts[0] = {const_cast<char*>(first), options_.size - offset};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = count;
    return ::sendmsg(c.fd, &message, MSG_NOSIGNAL);
  }

  // Everything asked was answered, and nothing more may be asked.
  void rest(connection& c) {
    if (options_.what != mode::connect) {
      c.resting = true;
      --busy_;
    } else if (options_.close == closing::half) {
      if (!std::exchange(c.half_shut, true)) ::shutdown(c.fd, SHUT_WR);
    } else {
      next_cycle(c);
    }
  }

  void next_cycle(connection& c) {
    const std::uint64_t opened = c.opened;
    leave(c, options_.close);
    clock_ = now();
    complete(c, opened);
    begin(c);
  }

  void leave(connection& c, closing how) {
    if (c.fd < 0) return;
    if (!c.resting) --busy_;
    const linger at_once{1, 0};
    if (how == closing::reset) ::setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    ::close(std::exchange(c.fd, -1));
  }

  // Keeps the connections until standard input ends, and then looks whether they lived that long.
  void hold() {
    std::puts("ready");
    std::fflush(stdout);
    char ignored[256];
    while (::read(0, ignored, sizeof ignored) > 0) {
    }
    std::uint64_t lost = 0;
    for (const auto& c : connections_)
      if (c.fd < 0 || ::recv(c.fd, ignored, sizeof ignored, MSG_DONTWAIT) >= 0 || errno != EAGAIN) ++lost;
    if (lost != 0)
      std::fprintf(stderr, "load: %llu idle connections were lost\n", static_cast<unsigned long long>(lost));
    errors_ = std::max(errors_, lost);
  }

  const options& options_;
  target target_;
  pattern pattern_;
  int set_;
  bool single_ = false;  // one message per connection
  std::vector<connection> connections_;
  std::vector<std::uint64_t> times_;  // when each message in flight was started
  std::vector<bool> served_;          // who had an answer, by the connection's place
  std::vector<char> buffer_;
  histogram latency_;
  std::uint64_t budget_ = no_limit;
  std::uint64_t deadline_ = no_limit;
  std::uint64_t next_id_ = 0;
  std::uint64_t began_ = 0;
  std::uint64_t ended_ = 0;
  std::uint64_t clock_ = 0;  // read once per event
  std::uint64_t completed_ = 0;
  std::uint64_t in_time_ = 0;  // before the deadline
  std::uint64_t errors_ = 0;
  std::size_t busy_ = 0;
  std::size_t arriving_ = 0;  // connections that are not connected yet, where all ask together
};

void raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("Loads an echo server on this machine and checks every byte that comes back.");
  app.add_option("--connect", o.connect, "127.x.x.x:PORT or unix:PATH")->required();
  const std::map<std::string, mode> modes{{"echo", mode::echo}, {"connect", mode::connect}};
  app.add_option("--mode", o.what, "echo: messages on open connections; connect: open, one message, close")
      ->transform(CLI::CheckedTransformer(modes));
  const std::map<std::string, closing> closings{
      {"orderly", closing::orderly}, {"reset", closing::reset}, {"half", closing::half}};
  app.add_option("--close", o.close, "how a connection ends: orderly (FIN), reset, half (FIN, await theirs)")
      ->transform(CLI::CheckedTransformer(closings));
  app.add_option("--connections", o.connections, "open at a time, 64 unless told")
      ->check(CLI::Range(1, 100000));
  app.add_option("--size", o.size, "bytes per message, 64 unless told")->check(CLI::Range(1, 1 << 26));
  app.add_option("--depth", o.depth, "messages in flight per connection, 1 unless told")
      ->check(CLI::Range(1, 65536));
  app.add_option("--sources", o.sources, "rotate over so many source addresses 127.0.0.x")
      ->check(CLI::Range(1, 250));
  auto* seconds =
      app.add_option("--seconds", o.seconds, "stop asking after so long")->check(CLI::PositiveNumber);
  auto* requests = app.add_option("--requests", o.requests, "stop after so many messages or cycles")
                       ->check(CLI::PositiveNumber);
  auto* idle = app.add_option("--idle", o.idle,
                              "open so many connections, send one message on each, print \"ready\", "
                              "keep them until standard input ends")
                   ->check(CLI::Range(1, 100000));
  app.add_option("--timeout", o.timeout, "give up after so many seconds without an answer, 10 unless told")
      ->check(CLI::PositiveNumber);
  auto* grace = app.add_option("--grace", o.grace,
                               "with --seconds, whose requests alone are the rate: reset what is unanswered "
                               "so many seconds later")
                    ->check(CLI::NonNegativeNumber);
  app.add_flag("--human", o.human, "a table instead of a line of JSON");
  seconds->excludes(requests)->excludes(idle);
  requests->excludes(idle);
  grace->needs(seconds);
  CLI11_PARSE(app, argc, argv);
  if (o.idle != 0) {
    o.what = mode::idle;
  } else if (o.seconds <= 0 && o.requests == 0) {
    std::fprintf(stderr, "load: one of --seconds, --requests and --idle is needed\n");
    return 2;
  }
  if (o.what != mode::echo) o.depth = 1;
  try {
    raise_descriptor_limit();
    load l(o);
    l.run();
    l.report();
    return l.errors() == 0 ? 0 : 1;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "load: %s\n", e.what());
    return 1;
  }
}
