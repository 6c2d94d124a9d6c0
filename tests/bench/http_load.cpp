// The load of the HTTP benchmarks: one thread, a closed loop over keep-alive connections, `depth` requests in
// each send. Cheaper than a server, or it would measure itself: it learns from the first answer how long each
// is, checks that each starts with 200 where it must, and lets the kernel drop the bytes of long bodies. With
// --rate requests have times of their own instead, and the time from there to the end of the answer is
// measured; --beside downloads a file meanwhile, as fast as it comes.
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
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "histogram.hpp"
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
  double rate = 0;             // requests per second; 0: each follows the answer before it
  std::string beside;          // the path of a download, if there is one
};

struct client {
  int fd = -1;
  std::size_t left = 0;  // bytes of the answers to the last send
  clock_type::time_point due{};
};

class load {
 public:
  explicit load(const options& o)
      : options_(o), target_(o.connect, 1), set_(::epoll_create1(EPOLL_CLOEXEC)), clients_(o.connections) {
    for (unsigned i = 0; i < o.depth; ++i) message_ += get(o.path);
    for (client& c : clients_) c.fd = connect();
    const answer first = learn(clients_.front().fd, get(o.path));
    size_ = first.size;
    drop(clients_.front().fd, first.size - first.received);
    if (o.beside.empty()) return;
    download_.fd = connect();
    start_download();
  }

  void run() {
    const auto began = clock_type::now();
    const auto end = began + std::chrono::duration_cast<clock_type::duration>(
                                 std::chrono::duration<double>(options_.seconds));
    for (client& c : clients_) {
      watch(c, EPOLLIN | EPOLLET);
      if (options_.rate == 0)
        ask(c);
      else
        free_.push_back(&c);
    }
    if (download_.fd >= 0) watch(download_, EPOLLIN);
    next_ = began;
    held_up_before_ = held_up();
    std::vector<epoll_event> events(clients_.size() + 1);
    while (busy_ != 0 || (options_.rate != 0 && !stop_)) {
      // Requests with times of their own are sent in time: this thread does not sleep.
      const int n =
          ::epoll_wait(set_, events.data(), static_cast<int>(events.size()), options_.rate == 0 ? 10'000 : 0);
      if (n < 0 || (n == 0 && options_.rate == 0)) fail("nothing came for ten seconds", 0);
      stop_ = stop_ || (options_.requests == 0 ? clock_type::now() >= end : asked_ >= options_.requests);
      for (int i = 0; i < n; ++i) {
        auto& ready = *static_cast<client*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (&ready == &download_)
          read_download();
        else
          read(ready);
      }
      if (options_.rate != 0 && !stop_) ask_those_due();
      if (clock_type::now() > end + std::chrono::seconds(30)) fail("no answer for 30 s", 0);
    }
    print(std::chrono::duration<double>(clock_type::now() - began).count());
  }

 private:
  struct answer {
    std::size_t size;
    std::size_t received;
  };

  [[nodiscard]] std::string get(const std::string& path) const {
    return "GET " + path + " HTTP/1.1\r\nHost: " + options_.connect + "\r\n\r\n";
  }

  void watch(client& c, std::uint32_t what) const {
    epoll_event e{};
    e.events = what;
    e.data.ptr = &c;
    if (::epoll_ctl(set_, EPOLL_CTL_ADD, c.fd, &e) != 0) fail("epoll_ctl");
  }

  int connect() {
    const int fd = target_.open();
    pollfd connected{fd, POLLOUT, 0};
    if (::poll(&connected, 1, 10'000) != 1) fail("connect", 0);
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);  // a server that reads takes a whole message
    return fd;
  }

  // How long an answer is, from its head. Errors: ends the program if it is none.
  answer learn(int fd, const std::string& request) {
    if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
      fail("send");
    std::string have;
    std::size_t head = 0;
    do {
      const ssize_t n = ::recv(fd, buffer_.data(), buffer_.size(), 0);
      if (n <= 0) fail("the end came inside the first answer", 0);
      have.append(buffer_.data(), static_cast<std::size_t>(n));
      head = have.find("\r\n\r\n");
    } while (head == have.npos);
    if (!have.starts_with(good)) fail("the first answer: " + have.substr(0, head), 0);
    const std::size_t length = have.find("Content-Length: ");
    if (length > head) fail("an answer without a length", 0);
    return {head + 4 + std::stoull(have.substr(length + 16)), have.size()};
  }

  void drop(int fd, std::size_t bytes) {
    while (bytes != 0) {
      const ssize_t n = ::recv(fd, buffer_.data(), std::min(buffer_.size(), bytes), 0);
      if (n <= 0) fail("the end came inside the first answer", 0);
      bytes -= static_cast<std::size_t>(n);
    }
  }

  void ask_those_due() {
    const auto now = clock_type::now();
    for (; next_ <= now && !free_.empty(); free_.pop_back()) {
      free_.back()->due = next_;
      ask(*free_.back());
      next_ += std::chrono::nanoseconds(static_cast<std::int64_t>(1e9 / options_.rate));
    }
  }

  // A part at a time, so that the answers to the others are not late because of this thread.
  void read_download() {
    const ssize_t n =
        ::recv(download_.fd, nullptr, std::min<std::size_t>(download_.left, 256 * 1024), MSG_TRUNC);
    if (n <= 0) fail("the end came inside the download", 0);
    downloaded_ += static_cast<std::uint64_t>(n);
    download_.left -= static_cast<std::size_t>(n);
    if (download_.left == 0) start_download();
  }

  void start_download() {
    const answer all = learn(download_.fd, get(options_.beside));
    download_.left = all.size - all.received;
    downloaded_ += all.received;
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
    if (options_.rate != 0) {
      const auto took = std::chrono::duration_cast<std::chrono::nanoseconds>(clock_type::now() - c.due);
      latencies_.record(static_cast<std::uint64_t>(took.count()));
      free_.push_back(&c);
    } else if (!stop_) {
      ask(c);
    }
  }

  // How long this thread has waited for its CPU, ever: what was measured meanwhile says nothing about a
  // server.
  static std::uint64_t held_up() {
    std::uint64_t ran = 0;
    std::uint64_t waited = 0;
    std::ifstream("/proc/self/schedstat") >> ran >> waited;
    return waited;
  }

  void print(double seconds) const {
    std::printf(
        "{\"requests\": %llu, \"seconds\": %.6f, \"requests_per_second\": %.1f, \"answer_bytes\": %zu",
        static_cast<unsigned long long>(done_), seconds, static_cast<double>(done_) / seconds, size_);
    if (options_.rate != 0) {
      const auto us = [](std::uint64_t ns) { return static_cast<double>(ns) / 1e3; };
      std::printf(
          ", \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f, \"downloaded_bytes\": %llu, "
          "\"held_up_us\": %.1f",
          us(latencies_.percentile(0.5)), us(latencies_.percentile(0.99)), us(latencies_.max()),
          static_cast<unsigned long long>(downloaded_), us(held_up() - held_up_before_));
    }
    std::puts("}");
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
  std::vector<client*> free_;    // with --rate: those that wait for no answer
  clock_type::time_point next_;  // when the next request is due
  histogram latencies_;
  client download_;
  std::uint64_t downloaded_ = 0;
  std::uint64_t held_up_before_ = 0;
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
  app.add_option("--rate", o.rate, "requests per second, each at its time, and how long they take");
  app.add_option("--beside", o.beside, "with --rate: the path of a file that is downloaded meanwhile");
  CLI11_PARSE(app, argc, argv);
  try {
    load(o).run();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "http_load: %s\n", e.what());
    return 1;
  }
}
