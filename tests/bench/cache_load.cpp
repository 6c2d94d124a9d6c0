// The load of the cache benchmark: closed loops of gets and sets over many connections, in the text protocol
// of memcached. Every byte of every reply is compared, so a server that is fast and wrong fails.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "target.hpp"

namespace {

struct options {
  std::string connect;
  unsigned connections = 64;
  unsigned threads = 1;
  unsigned depth = 1;  // requests under way on each connection
  unsigned keys = 10'000;
  unsigned size = 100;
  unsigned sets = 10;  // of a hundred requests
  double seconds = 0;
  std::uint64_t requests = 0;
  std::uint64_t fill = 0;
};

// A request and the one right reply to it.
struct exchange {
  std::string ask;
  std::string answer;
};

std::string key_of(std::uint64_t n) {
  std::string digits = std::to_string(n);
  return "key:" + std::string(12 - std::min<std::size_t>(digits.size(), 12), '0') + digits;
}

// Different for each key, so that a mix-up is noticed.
std::string value_of(std::uint64_t n, unsigned size) {
  std::string value(size, '.');
  for (char& c : value) {
    n = n * 6364136223846793005 + 1442695040888963407;
    c = static_cast<char>('a' + (n >> 59) % 26);
  }
  return value;
}

exchange set_of(std::uint64_t n, unsigned size) {
  return {"set " + key_of(n) + " 0 0 " + std::to_string(size) + "\r\n" + value_of(n, size) + "\r\n",
          "STORED\r\n"};
}

exchange get_of(std::uint64_t n, unsigned size) {
  const std::string key = key_of(n);
  return {"get " + key + "\r\n",
          "VALUE " + key + " 0 " + std::to_string(size) + "\r\n" + value_of(n, size) + "\r\nEND\r\n"};
}

struct exchanges {
  std::vector<exchange> sets;
  std::vector<exchange> gets;

  explicit exchanges(const options& o) {
    for (unsigned n = 0; n < o.keys; ++n) {
      sets.push_back(set_of(n, o.size));
      gets.push_back(get_of(n, o.size));
    }
  }
};

struct connection {
  int fd = -1;
  std::string expected;
  std::string received;
};

// A blocking socket.
int connect_to(const options& o) {
  const int fd = target(o.connect, 1).open();
  pollfd connected{fd, POLLOUT, 0};
  int error = 0;
  socklen_t size = sizeof error;
  if (::poll(&connected, 1, 10'000) != 1) fail("connect: nobody answers", 0);
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) fail("connect", error);
  ::fcntl(fd, F_SETFL, 0);
  return fd;
}

void send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (n < 0) fail("send");
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

// Reads what has come, and compares it; true if that was all that was expected. Blocks until something has.
bool receive(connection& c, std::vector<char>& buffer) {
  const ssize_t n = ::recv(c.fd, buffer.data(), buffer.size(), 0);
  if (n == 0) fail("the server has closed a connection", 0);
  if (n < 0) fail("recv");
  c.received.append(buffer.data(), static_cast<std::size_t>(n));
  if (c.expected.compare(0, c.received.size(), c.received) != 0)
    fail("a wrong reply: " + c.received.substr(0, 200) + "\nexpected: " + c.expected.substr(0, 200), 0);
  return c.received.size() == c.expected.size();
}

// A thread with connections of its own.
class loop {
 public:
  loop(const options& o, const exchanges& e, unsigned index)
      : options_(o), exchanges_(e), state_(index * 7919 + 1), buffer_(1 << 16) {
    for (unsigned i = index; i < o.connections; i += o.threads) {
      connections_.emplace_back();
      connections_.back().fd = connect_to(o);
    }
  }
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;
  ~loop() {
    for (const connection& c : connections_) ::close(c.fd);
  }

  std::uint64_t run(std::chrono::steady_clock::time_point end, std::uint64_t requests) {
    const int set = ::epoll_create1(EPOLL_CLOEXEC);
    for (connection& c : connections_) {
      epoll_event e{};
      e.events = EPOLLIN;
      e.data.ptr = &c;
      if (::epoll_ctl(set, EPOLL_CTL_ADD, c.fd, &e) != 0) fail("epoll_ctl");
      ask(c);
    }
    std::vector<epoll_event> events(connections_.size());
    std::size_t busy = connections_.size();
    while (busy != 0) {
      const int n = ::epoll_wait(set, events.data(), static_cast<int>(events.size()), 10'000);
      if (n == 0) fail("no reply for 10 s", 0);
      const bool over = std::chrono::steady_clock::now() >= end;
      for (int i = 0; i < n; ++i) {
        connection& c = *static_cast<connection*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (!receive(c, buffer_)) continue;
        done_ += options_.depth;
        if (over || (requests != 0 && done_ >= requests))
          --busy;
        else
          ask(c);
      }
    }
    ::close(set);
    return done_;
  }

 private:
  void ask(connection& c) {
    c.expected.clear();
    c.received.clear();
    request_.clear();
    for (unsigned i = 0; i < options_.depth; ++i) {
      state_ = state_ * 6364136223846793005 + 1442695040888963407;
      const auto key = static_cast<std::size_t>((state_ >> 33) % exchanges_.sets.size());
      const bool is_set = (state_ >> 20) % 100 < options_.sets;
      const exchange& e = is_set ? exchanges_.sets[key] : exchanges_.gets[key];
      request_ += e.ask;
      c.expected += e.answer;
    }
    send_all(c.fd, request_);
  }

  const options& options_;
  const exchanges& exchanges_;
  std::uint64_t state_;
  std::uint64_t done_ = 0;
  std::vector<char> buffer_;
  std::string request_;
  std::vector<connection> connections_;
};

// Stores so many items through one connection, many at a time.
void fill(const options& o, std::uint64_t count) {
  constexpr std::uint64_t batch = 100;
  connection c;
  c.fd = connect_to(o);
  std::vector<char> buffer(1 << 16);
  for (std::uint64_t n = 0; n < count;) {
    std::string ask;
    c.expected.clear();
    c.received.clear();
    for (const std::uint64_t end = std::min(count, n + batch); n < end; ++n) {
      const exchange e = set_of(n, o.size);
      ask += e.ask;
      c.expected += e.answer;
    }
    send_all(c.fd, ask);
    while (!receive(c, buffer)) {
    }
  }
  ::close(c.fd);
}

void load(const options& o) {
  const exchanges all(o);
  fill(o, o.keys);
  const auto start = std::chrono::steady_clock::now();
  const auto end = start + (o.seconds > 0 ? std::chrono::microseconds(static_cast<long>(o.seconds * 1e6))
                                          : std::chrono::hours(1));
  std::atomic<std::uint64_t> done{0};
  std::vector<std::exception_ptr> failures(o.threads);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < o.threads; ++i)
    threads.emplace_back([&, i] {
      try {
        done += loop(o, all, i).run(end, o.requests / o.threads);
      } catch (...) {
        failures[i] = std::current_exception();
      }
    });
  for (std::thread& t : threads) t.join();
  for (const std::exception_ptr& failure : failures)
    if (failure) std::rethrow_exception(failure);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("{\"requests\": %llu, \"seconds\": %.4f, \"requests_per_second\": %.1f}\n",
              static_cast<unsigned long long>(done), took.count(), static_cast<double>(done) / took.count());
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("gets and sets in the text protocol of memcached");
  app.add_option("--connect", o.connect, "ADDRESS:PORT of the server")->required();
  app.add_option("--connections", o.connections, "connections")->check(CLI::PositiveNumber);
  app.add_option("--threads", o.threads, "threads that share the connections")->check(CLI::PositiveNumber);
  app.add_option("--depth", o.depth, "requests at a time on each connection")->check(CLI::PositiveNumber);
  app.add_option("--keys", o.keys, "keys that are used")->check(CLI::PositiveNumber);
  app.add_option("--size", o.size, "bytes of a value");
  app.add_option("--sets", o.sets, "sets among a hundred requests")->check(CLI::Range(0, 100));
  app.add_option("--seconds", o.seconds, "how long");
  app.add_option("--requests", o.requests, "or how many, in all");
  app.add_option("--fill", o.fill, "store so many items and leave");
  CLI11_PARSE(app, argc, argv);
  try {
    if (o.fill != 0)
      fill(o, o.fill);
    else
      load(o);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "cache_load: %s\n", e.what());
    return 1;
  }
}
