// The load of the HTTP benchmark: one thread, a closed loop over keep-alive connections, `depth` requests in
// each send. Cheaper than a server, or it would measure itself: it learns from the first answer how long each
// is, checks that each starts with 200 where it must, and lets the kernel drop the bytes of long bodies.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "target.hpp"

namespace {

using clock_type = std::chrono::steady_clock;

constexpr std::string_view good = "HTTP/1.1 200 OK\r\n";

struct options {
  std::string connect;
  std::string path = "/";
  unsigned connections = 64;
  unsigned depth = 1;
  double seconds = 1;
  std::uint64_t requests = 0;  // 0: as many as fit the time
};

struct client {
  int fd = -1;
  std::size_t left = 0;  // bytes of the answers to the last send
};

class load {
 public:
  explicit load(const options& o)
      : options_(o), target_(o.connect, 1), set_(::epoll_create1(EPOLL_CLOEXEC)), clients_(o.connections) {
    const std::string one = "GET " + o.path + " HTTP/1.1\r\nHost: " + o.connect + "\r\n\r\n";
    for (unsigned i = 0; i < o.depth; ++i) message_ += one;
    for (client& c : clients_) c.fd = connect();
    size_ = learn(clients_.front().fd, one);
  }

  void run() {
    const auto began = clock_type::now();
    const auto end = began + std::chrono::duration_cast<clock_type::duration>(
                                 std::chrono::duration<double>(options_.seconds));
    for (client& c : clients_) {
      epoll_event e{};
      e.events = EPOLLIN | EPOLLET;
      e.data.ptr = &c;
      if (::epoll_ctl(set_, EPOLL_CTL_ADD, c.fd, &e) != 0) fail("epoll_ctl");
      ask(c);
    }
    std::vector<epoll_event> events(clients_.size());
    while (busy_ != 0) {
      const int n = ::epoll_wait(set_, events.data(), static_cast<int>(events.size()), 10'000);
      if (n <= 0) fail("nothing came for ten seconds", 0);
      stop_ = stop_ || (options_.requests == 0 ? clock_type::now() >= end : asked_ >= options_.requests);
      for (int i = 0; i < n; ++i) read(*static_cast<client*>(events[static_cast<std::size_t>(i)].data.ptr));
    }
    const double seconds = std::chrono::duration<double>(clock_type::now() - began).count();
    std::printf(
        "{\"requests\": %llu, \"seconds\": %.6f, \"requests_per_second\": %.1f, \"answer_bytes\": %zu}\n",
        static_cast<unsigned long long>(done_), seconds, static_cast<double>(done_) / seconds, size_);
  }

 private:
  int connect() {
    const int fd = target_.open();
    pollfd connected{fd, POLLOUT, 0};
    if (::poll(&connected, 1, 10'000) != 1) fail("connect", 0);
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);  // a server that reads takes a whole message
    return fd;
  }

  // How long an answer is. Errors: ends the program if it is none.
  std::size_t learn(int fd, const std::string& request) {
    if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
      fail("send");
    std::string have;
    std::size_t whole = 0;
    while (whole == 0 || have.size() < whole) {
      const ssize_t n = ::recv(fd, buffer_.data(), buffer_.size(), 0);
      if (n <= 0) fail("the end came inside the first answer", 0);
      have.append(buffer_.data(), static_cast<std::size_t>(n));
      const std::size_t head = have.find("\r\n\r\n");
      if (whole != 0 || head == have.npos) continue;
      if (!have.starts_with(good)) fail("the first answer: " + have.substr(0, head), 0);
      const std::size_t length = have.find("Content-Length: ");
      if (length > head) fail("an answer without a length", 0);
      whole = head + 4 + std::stoul(have.substr(length + 16));
    }
    return whole;
  }

  void ask(client& c) {
    if (::send(c.fd, message_.data(), message_.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(message_.size()))
      fail("the server does not take its requests", 0);
    asked_ += options_.depth;
    c.left = size_ * options_.depth;
    ++busy_;
  }

  void read(client& c) {
    while (c.left != 0) {
      const std::size_t into = (size_ * options_.depth - c.left) % size_;
      const bool starts = into == 0;
      // What is in the middle of a long answer is dropped where it is.
      const bool drop = !starts && size_ > buffer_.size();
      const std::size_t most =
          starts ? std::min(buffer_.size(), c.left) : std::min(drop ? size_ - into : buffer_.size(), c.left);
      const ssize_t n = ::recv(c.fd, buffer_.data(), most, MSG_DONTWAIT | (drop ? MSG_TRUNC : 0));
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) fail("the end came inside an answer", 0);
      const auto got = static_cast<std::size_t>(n);
      if (!drop) check(into, got);
      c.left -= got;
    }
    done_ += options_.depth;
    --busy_;
    if (!stop_) ask(c);
  }

  // Each answer that starts in what has come.
  void check(std::size_t into, std::size_t got) const {
    for (std::size_t at = into == 0 ? 0 : size_ - into; at < got; at += size_) {
      const std::size_t have = std::min(good.size(), got - at);
      if (std::memcmp(buffer_.data() + at, good.data(), have) != 0)
        fail("an answer that is not as long as the first, or not good", 0);
    }
  }

  options options_;
  target target_;
  int set_;
  std::vector<client> clients_;
  std::string message_;
  std::vector<char> buffer_ = std::vector<char>(32768);
  std::size_t size_ = 0;
  std::size_t busy_ = 0;
  std::uint64_t asked_ = 0;
  std::uint64_t done_ = 0;
  bool stop_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("keep-alive HTTP requests in a closed loop; one line of JSON");
  app.add_option("--connect", o.connect, "ADDRESS:PORT")->required();
  app.add_option("--path", o.path);
  app.add_option("--connections", o.connections)->check(CLI::Range(1, 10000));
  app.add_option("--depth", o.depth, "requests in each send")->check(CLI::Range(1, 200));
  app.add_option("--seconds", o.seconds);
  app.add_option("--requests", o.requests, "instead of a time");
  CLI11_PARSE(app, argc, argv);
  try {
    load(o).run();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "http_load: %s\n", e.what());
    return 1;
  }
}
