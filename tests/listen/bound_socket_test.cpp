#include "weir/listen/detail/bound_socket.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <system_error>

using namespace weir;
using Catch::Matchers::Contains;

namespace {

bound_socket bind_to(std::string_view text, const socket_settings& options = {}) {
  return bound_socket::bind(endpoint::parse(text), options);
}

std::string error_of(std::string_view text) {
  try {
    (void)bind_to(text);
  } catch (const std::system_error& e) {
    return e.what();
  }
  return "no error";
}

// 0 or the errno of connecting.
int connect_to(const endpoint& at, unique_fd* keep = nullptr) {
  const auto address = at.to_sockaddr();
  unique_fd fd(::socket(address.get()->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int error = ::connect(fd.get(), address.get(), address.size) == 0 ? 0 : errno;
  if (keep != nullptr) *keep = std::move(fd);
  return error;
}

endpoint loopback(const bound_socket& socket) {
  return endpoint::parse("127.0.0.1:0").with_port(socket.local().port());
}

int option_of(int fd, int level, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  REQUIRE(::getsockopt(fd, level, option, &value, &size) == 0);
  return value;
}

// A directory of its own, removed with everything in it.
struct directory {
  std::string path = "/tmp/weir-listen-XXXXXX";
  directory() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  directory(const directory&) = delete;
  directory& operator=(const directory&) = delete;
  ~directory() { std::filesystem::remove_all(path); }
  [[nodiscard]] std::string file() const { return path + "/s"; }
  [[nodiscard]] std::string address() const { return "unix:" + file(); }
};

bool exists(const std::string& path) {
  return std::filesystem::exists(std::filesystem::symlink_status(path));
}

unsigned mode_of(const std::string& path) {
  struct stat found{};
  REQUIRE(::lstat(path.c_str(), &found) == 0);
  return found.st_mode & 0777;
}

}  // namespace

TEST_CASE("port 0 becomes a port that can be connected to") {
  const auto socket = bind_to("127.0.0.1:0");
  CHECK(socket.local().port() != 0);
  CHECK(connect_to(socket.local()) == 0);
}

TEST_CASE("a listening socket is close-on-exec and does not block") {
  const auto socket = bind_to("127.0.0.1:0");
  CHECK((::fcntl(socket.get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(::accept(socket.get(), nullptr, nullptr) == -1);
  CHECK(errno == EAGAIN);
}

TEST_CASE("accepted sockets inherit TCP_NODELAY, or its absence") {
  for (const bool wanted : {true, false}) {
    socket_settings options;
    options.nodelay = wanted;
    const auto socket = bind_to("127.0.0.1:0", options);
    unique_fd client;
    REQUIRE(connect_to(socket.local(), &client) == 0);
    const unique_fd accepted(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    REQUIRE(accepted);
    CHECK((option_of(accepted.get(), IPPROTO_TCP, TCP_NODELAY) != 0) == wanted);
  }
}

TEST_CASE("an address in use is an error that names it") {
  const auto first = bind_to("127.0.0.1:0");
  const auto name = first.local().to_string();
  CHECK(error_of(name) == "bind " + name + ": Address already in use");
}

TEST_CASE("an address of another host is an error that names it") {
  CHECK(error_of("192.0.2.1:0") == "bind 192.0.2.1:0: Cannot assign requested address");
}

TEST_CASE("the star serves both families, and the v6 wildcard only its own") {
  const auto star = bind_to("*:0");
  CHECK(connect_to(loopback(star)) == 0);
  if (star.local().what() != endpoint::kind::tcp_dual) return;  // a host without IPv6
  CHECK(star.local().to_string() == "*:" + std::to_string(star.local().port()));
  CHECK(connect_to(endpoint::parse("[::1]:0").with_port(star.local().port())) == 0);

  const auto six = bind_to("[::]:0");
  CHECK(six.local().what() == endpoint::kind::tcp6);
  CHECK(connect_to(endpoint::parse("[::1]:0").with_port(six.local().port())) == 0);
  CHECK(connect_to(loopback(six)) == ECONNREFUSED);
}

TEST_CASE("a moved socket still listens and is closed once") {
  auto first = bind_to("127.0.0.1:0");
  const auto at = first.local();
  {
    auto second = bind_to("127.0.0.1:0");
    const auto gone = second.local();
    second = std::move(first);
    CHECK(second.local() == at);
    CHECK(connect_to(at) == 0);
    CHECK(connect_to(gone) == ECONNREFUSED);
  }
  CHECK(connect_to(at) == ECONNREFUSED);
}

TEST_CASE("a unix socket's file has the mode that was asked for, whatever the umask") {
  const directory here;
  const auto old = ::umask(0077);
  socket_settings options;
  options.unix_mode = 0666;
  {
    const auto socket = bind_to(here.address(), options);
    CHECK(mode_of(here.file()) == 0666);
  }
  ::umask(0);
  options.unix_mode = 0600;
  {
    const auto socket = bind_to(here.address(), options);
    CHECK(mode_of(here.file()) == 0600);
    CHECK(connect_to(socket.local()) == 0);
  }
  ::umask(old);
}

TEST_CASE("a unix socket's file goes away with its owner") {
  const directory here;
  {
    const auto socket = bind_to(here.address());
    CHECK(exists(here.file()));
  }
  CHECK_FALSE(exists(here.file()));
}

TEST_CASE("a moved unix socket removes its file once, at its end") {
  const directory here;
  auto first = bind_to(here.address());
  {
    const auto second = std::move(first);
    CHECK(exists(here.file()));
  }
  CHECK_FALSE(exists(here.file()));
}

TEST_CASE("the file stays if told to, or if it is another's by now") {
  const directory here;
  {
    auto socket = bind_to(here.address());
    socket.unlink_on_close(false);
  }
  CHECK(exists(here.file()));
  {
    const auto socket = bind_to(here.address());
    std::filesystem::remove(here.file());
    std::ofstream(here.file()) << "somebody else's";
  }
  CHECK(exists(here.file()));
}

TEST_CASE("a forked child leaves the file to its parent") {
  const directory here;
  auto socket = bind_to(here.address());
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    {
      const auto copy = std::move(socket);
    }
    ::_exit(0);
  }
  REQUIRE(::waitpid(child, nullptr, 0) == child);
  CHECK(exists(here.file()));
  CHECK(connect_to(socket.local()) == 0);
}

TEST_CASE("the file that a dead server left is replaced") {
  const directory here;
  {
    auto dead = bind_to(here.address());
    dead.unlink_on_close(false);
  }
  const auto socket = bind_to(here.address());
  CHECK(connect_to(socket.local()) == 0);
}

TEST_CASE("a file that is served is an error, and stays served") {
  const directory here;
  const auto first = bind_to(here.address());
  CHECK(error_of(here.address()) ==
        "bind " + here.address() + ": a server is accepting there: Address already in use");
  CHECK(connect_to(first.local()) == 0);
}

TEST_CASE("a server whose queue is full is still a live server") {
  const directory here;
  socket_settings options;
  options.backlog = 1;
  const auto first = bind_to(here.address(), options);
  std::vector<unique_fd> clients;
  const auto address = first.local().to_sockaddr();
  int error = 0;
  while (error == 0 && clients.size() < 16) {
    clients.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    error = ::connect(clients.back().get(), address.get(), address.size) == 0 ? 0 : errno;
  }
  REQUIRE(error == EAGAIN);
  CHECK_THAT(error_of(here.address()), Contains("a server is accepting there"));
}

TEST_CASE("a file that is no socket is never touched") {
  const directory here;
  std::ofstream(here.file()) << "precious";
  CHECK_THAT(error_of(here.address()), Contains("the path is taken and no socket: File exists"));
  CHECK(std::filesystem::file_size(here.file()) == 8);
  std::filesystem::remove(here.file());
  std::filesystem::create_symlink("/nowhere", here.file());
  CHECK_THAT(error_of(here.address()), Contains("no socket"));
  CHECK(exists(here.file()));
}

TEST_CASE("an abstract unix socket leaves no file") {
  const auto name = "unix:@weir-test-" + std::to_string(::getpid());
  const auto socket = bind_to(name);
  CHECK(socket.local().to_string() == name);
  CHECK(connect_to(socket.local()) == 0);
}

TEST_CASE("an inherited listening socket is taken over and made safe") {
  auto made = bind_to("127.0.0.1:0");
  const auto at = made.local();
  const int raw = ::dup(made.get());  // without close-on-exec
  REQUIRE(::fcntl(raw, F_SETFL, 0) == 0);
  {
    const auto adopted = bind_to("fd:" + std::to_string(raw));
    CHECK(adopted.get() == raw);
    CHECK(adopted.local() == at);
    CHECK((::fcntl(raw, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(raw, F_GETFL) & O_NONBLOCK) != 0);
  }
  CHECK(::fcntl(raw, F_GETFD) == -1);
}

TEST_CASE("an inherited unix socket keeps its file") {
  const directory here;
  auto made = bind_to(here.address());
  made.unlink_on_close(false);
  {
    const auto adopted = bind_to("fd:" + std::to_string(::dup(made.get())));
    CHECK(adopted.local().to_string() == here.address());
  }
  CHECK(exists(here.file()));
}

TEST_CASE("the file of a unix socket that was taken over is this process's to remove, once it is told so") {
  const directory here;
  auto made = bind_to(here.address());
  made.unlink_on_close(false);
  {
    const auto taken = bound_socket::take_over(::dup(made.get()), {});
  }
  CHECK(exists(here.file()));
  {
    auto taken = bound_socket::take_over(::dup(made.get()), {});
    CHECK(taken.local().to_string() == here.address());
    taken.unlink_on_close(true);
  }
  CHECK_FALSE(exists(here.file()));
}

TEST_CASE("a socket from systemd is found by its name, and only by the process that it is meant for") {
  // Descriptors from 3 on are what the protocol counts; the first of them is this test's.
  const auto made = bind_to("127.0.0.1:0");
  const std::string pid = std::to_string(::getpid());
  std::string names;
  for (int fd = 3; fd < made.get(); ++fd) names += "other:";
  ::setenv("LISTEN_FDS", std::to_string(made.get() - 2).c_str(), 1);
  ::setenv("LISTEN_FDNAMES", (names + "web").c_str(), 1);
  CHECK_THAT(error_of("systemd:web"), Contains("LISTEN_PID"));
  ::setenv("LISTEN_PID", pid.c_str(), 1);
  CHECK_THAT(error_of("systemd:db"),
             Contains("listen on systemd:db: no socket has that name") && Contains("web"));
  {
    auto found = bind_to("systemd:web");
    CHECK(found.get() == made.get());
    CHECK(found.local() == made.local());
    static_cast<void>(::dup2(::open("/dev/null", O_RDONLY | O_CLOEXEC), made.get()));  // made closes it again
  }
  ::setenv("LISTEN_FDNAMES", (names + "web:web").c_str(), 1);
  CHECK_THAT(error_of("systemd:web"), Contains("several sockets have that name"));
  for (const char* each : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(each);
}

TEST_CASE("a descriptor that does not listen is refused and left open") {
  const unique_fd idle(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto name = "fd:" + std::to_string(idle.get());
  CHECK_THAT(error_of(name), Contains("listen on " + name + ": the socket does not listen"));
  CHECK(::fcntl(idle.get(), F_GETFD) >= 0);
  const unique_fd datagrams(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  CHECK_THAT(error_of("fd:" + std::to_string(datagrams.get())), Contains("no stream"));
  const unique_fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  CHECK_THAT(error_of("fd:" + std::to_string(null.get())), Contains("Socket operation on non-socket"));
  CHECK_THAT(error_of("fd:1000000"), Contains("listen on fd:1000000: Bad file descriptor"));
}

TEST_CASE("a group shares the port that its first socket got") {
  const auto group = bind_group(endpoint::parse("127.0.0.1:0"), 4, {});
  REQUIRE(group.size() == 4);
  for (const auto& each : group) CHECK(each.local() == group.front().local());
}

TEST_CASE("a group takes no port on which another server listens, and grows by sockets of its own") {
  auto group = bind_group(endpoint::parse("127.0.0.1:0"), 2, {});
  const auto at = group.front().local();
  CHECK_THROWS_WITH(bind_group(at, 2, {}), Contains("bind " + at.to_string() + ": Address already in use"));
  group.push_back(join_group(group.front(), {}));
  CHECK(group.back().local() == at);
  group.clear();
  CHECK_NOTHROW(bind_group(at, 2, {}));
}

TEST_CASE("the kernel spreads connections over a group") {
  const auto group = bind_group(endpoint::parse("127.0.0.1:0"), 2, {});
  std::vector<unique_fd> clients(64);
  for (auto& each : clients) REQUIRE(connect_to(group.front().local(), &each) == 0);
  for (const auto& each : group) {
    int accepted = 0;
    while (unique_fd(::accept4(each.get(), nullptr, nullptr, SOCK_CLOEXEC))) ++accepted;
    CHECK(accepted > 0);
  }
}

TEST_CASE("a pinned group gives a connection to the socket of the CPU that received it") {
  cpu_set_t before;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  std::vector<int> cpus;
  for (int cpu = CPU_SETSIZE - 1; cpu >= 0; --cpu)  // not the order in which the kernel would number them
    if (CPU_ISSET(cpu, &before)) cpus.push_back(cpu);

  const auto group = bind_group(endpoint::parse("127.0.0.1:0"), cpus.size(), {}, cpus);
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpus[i], &one);
    REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
    std::vector<unique_fd> clients(8);  // loopback delivers on the CPU that sends
    for (auto& each : clients) REQUIRE(connect_to(group.front().local(), &each) == 0);
    for (std::size_t j = 0; j < cpus.size(); ++j) {
      int accepted = 0;
      while (unique_fd(::accept4(group[j].get(), nullptr, nullptr, SOCK_CLOEXEC))) ++accepted;
      CHECK(accepted == (i == j ? 8 : 0));
    }
  }
  REQUIRE(::sched_setaffinity(0, sizeof before, &before) == 0);
}

TEST_CASE("unix sockets form no group") {
  const directory here;
  CHECK_THROWS_WITH(bind_group(endpoint::parse(here.address()), 2, {}), Contains("are for TCP only"));
  CHECK_FALSE(exists(here.file()));
}

TEST_CASE("a group is steered to its first sockets, and to all again") {
  const auto group = bind_group(endpoint::parse("127.0.0.1:0"), 3, {});
  const auto accepted_by = [&](int connections) {
    std::vector<int> counts;
    std::vector<weir::unique_fd> clients;
    for (int i = 0; i < connections; ++i) {
      clients.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      const auto to = group[0].local().to_sockaddr();
      REQUIRE(::connect(clients.back().get(), to.get(), to.size) == 0);
    }
    for (const auto& each : group) {
      int n = 0;
      while (weir::unique_fd(::accept4(each.get(), nullptr, nullptr, SOCK_CLOEXEC))) ++n;
      counts.push_back(n);
    }
    return counts;
  };
  steer_to_first(group[0], 2);
  auto counts = accepted_by(60);
  CHECK(counts[0] + counts[1] == 60);
  CHECK(counts[2] == 0);
  steer_to_first(group[0], 0);
  steer_to_first(group[0], 0);  // nothing to take off any more
  counts = accepted_by(60);
  CHECK(counts[2] > 0);
}
