// The load of the kv benchmark: one thread, one epoll set, a closed loop of pipelined batches over many
// connections. What is sent and what must come back is made before the clock starts, so that the client costs
// little more than its system calls; every byte that comes back is compared.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "target.hpp"

namespace {

enum class verb { get, set, fill };

struct options {
  std::string connect;
  verb what = verb::get;
  unsigned connections = 64;
  unsigned depth = 1;
  unsigned keys = 10'000;
  unsigned size = 100;
  double seconds = 0;
  std::uint64_t requests = 0;
};

struct batch {
  std::string requests;
  std::string replies;
};

struct connection {
  int fd = -1;
  const batch* under_way = nullptr;
  std::size_t sent = 0;
  std::size_t received = 0;
  bool is_watched_for_room = false;
};

double now() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

std::string bulk(std::string_view text) {
  return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
}

class load {
 public:
  explicit load(const options& o) : options_(o), set_(::epoll_create1(EPOLL_CLOEXEC)), buffer_(1 << 20) {
    if (set_ < 0) fail("epoll_create1");
    std::minstd_rand draw(1);
    // Fill asks for each key once; the others for keys at random, in more batches than a cache of the server
    // could know by heart.
    const std::size_t batches = o.what == verb::fill ? (o.keys + o.depth - 1) / o.depth : 1024;
    unsigned next = 0;
    for (std::size_t i = 0; i < batches; ++i) {
      batch b;
      for (unsigned k = 0; k < o.depth; ++k)
        add(b, o.what == verb::fill ? next++ % o.keys : static_cast<unsigned>(draw()) % o.keys);
      batches_.push_back(std::move(b));
    }
    budget_ = o.what == verb::fill ? batches : o.requests != 0 ? o.requests / o.depth : ~std::uint64_t{0};
    connections_.resize(o.connections);
  }

  void run() {
    target server(options_.connect, 1);
    for (auto& c : connections_) {
      c.fd = server.open();
      epoll_event e{EPOLLIN | EPOLLOUT, {.ptr = &c}};
      if (::epoll_ctl(set_, EPOLL_CTL_ADD, c.fd, &e) < 0) fail("epoll_ctl");
      c.is_watched_for_room = true;
    }
    began_ = now();
    const double end = options_.seconds > 0 ? began_ + options_.seconds : 1e300;
    busy_ = connections_.size();
    while (busy_ > 0) {
      epoll_event events[256];
      const int n = ::epoll_wait(set_, events, 256, 10'000);
      if (n < 0 && errno != EINTR) fail("epoll_wait");
      if (n == 0) fail("no answer for 10 s", 0);
      is_over_ = now() >= end;
      for (int i = 0; i < n; ++i) go_on(*static_cast<connection*>(events[i].data.ptr), events[i].events);
    }
    ended_ = now();
    for (auto& c : connections_) ::close(c.fd);
  }

  void report() const {
    const auto done = static_cast<unsigned long long>(completed_ * options_.depth);
    std::printf("{\"requests\": %llu, \"seconds\": %.6f, \"requests_per_second\": %.1f}\n", done,
                ended_ - began_, static_cast<double>(done) / (ended_ - began_));
  }

 private:
  void add(batch& b, unsigned number) const {
    char name[32];
    std::snprintf(name, sizeof name, "key:%012u", number);
    std::string value(options_.size, 'x');
    std::memcpy(value.data(), name, std::min<std::size_t>(value.size(), std::strlen(name)));
    if (options_.what == verb::get) {
      b.requests += "*2\r\n$3\r\nGET\r\n" + bulk(name);
      b.replies += bulk(value);
    } else {
      b.requests += "*3\r\n$3\r\nSET\r\n" + bulk(name) + bulk(value);
      b.replies += "+OK\r\n";
    }
  }

  void go_on(connection& c, std::uint32_t events) {
    if (c.under_way == nullptr) return begin(c);
    if ((events & ~std::uint32_t{EPOLLOUT}) != 0 && !receive(c)) return;
    if (c.under_way != nullptr && c.sent < c.under_way->requests.size()) send(c);
  }

  // The next batch, or the end.
  void begin(connection& c) {
    if (is_over_ || budget_ == 0) {
      c.under_way = nullptr;
      watch(c, false);
      --busy_;
      return;
    }
    --budget_;
    c.under_way = &batches_[next_++ % batches_.size()];
    c.sent = c.received = 0;
    send(c);
  }

  void send(connection& c) {
    const std::string& all = c.under_way->requests;
    while (c.sent < all.size()) {
      const ssize_t n = ::send(c.fd, all.data() + c.sent, all.size() - c.sent, MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) break;
      if (n < 0) fail("send");
      c.sent += static_cast<std::size_t>(n);
    }
    watch(c, c.sent < all.size());
  }

  void watch(connection& c, bool for_room) const {
    if (c.is_watched_for_room == for_room) return;
    c.is_watched_for_room = for_room;
    epoll_event e{for_room ? EPOLLIN | EPOLLOUT : std::uint32_t{EPOLLIN}, {.ptr = &c}};
    if (::epoll_ctl(set_, EPOLL_CTL_MOD, c.fd, &e) < 0) fail("epoll_ctl");
  }

  // False if the connection has nothing under way any more.
  bool receive(connection& c) {
    const ssize_t n = ::recv(c.fd, buffer_.data(), buffer_.size(), 0);
    if (n < 0 && errno == EAGAIN) return true;
    if (n < 0) fail("recv");
    if (n == 0) fail("the server closed a connection", 0);
    const auto size = static_cast<std::size_t>(n);
    const std::string& expected = c.under_way->replies;
    if (size > expected.size() - c.received) fail("more came back than was asked for", 0);
    if (std::memcmp(buffer_.data(), expected.data() + c.received, size) != 0)
      fail("a wrong answer: " + std::string(buffer_.data(), std::min<std::size_t>(size, 200)), 0);
    c.received += size;
    if (c.received < expected.size()) return true;
    ++completed_;
    begin(c);
    return c.under_way != nullptr;
  }

  const options& options_;
  int set_;
  std::vector<char> buffer_;
  std::vector<batch> batches_;
  std::vector<connection> connections_;
  std::uint64_t budget_ = 0;
  std::uint64_t completed_ = 0;
  std::size_t next_ = 0;
  std::size_t busy_ = 0;
  bool is_over_ = false;
  double began_ = 0;
  double ended_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("Loads a server of Redis's protocol on this machine and checks every byte that comes back.");
  app.add_option("--connect", o.connect, "127.x.x.x:PORT or unix:PATH")->required();
  const std::map<std::string, verb> verbs{{"get", verb::get}, {"set", verb::set}, {"fill", verb::fill}};
  app.add_option("--command", o.what, "get and set: keys at random; fill: every key once, and end")
      ->transform(CLI::CheckedTransformer(verbs));
  app.add_option("--connections", o.connections, "64 unless told")->check(CLI::Range(1, 10'000));
  app.add_option("--depth", o.depth, "requests in a batch, 1 unless told")->check(CLI::Range(1, 10'000));
  app.add_option("--keys", o.keys, "10,000 unless told")->check(CLI::Range(1, 100'000'000));
  app.add_option("--size", o.size, "bytes of a value, 100 unless told")->check(CLI::Range(1, 1 << 20));
  app.add_option("--seconds", o.seconds, "stop asking after so long")->check(CLI::PositiveNumber);
  app.add_option("--requests", o.requests, "stop after so many")->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  if (o.what != verb::fill && o.seconds <= 0 && o.requests == 0) {
    std::fprintf(stderr, "kv_load: --seconds or --requests is needed\n");
    return 2;
  }
  try {
    load l(o);
    l.run();
    l.report();
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "kv_load: %s\n", e.what());
    return 1;
  }
}
