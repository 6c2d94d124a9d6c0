#include "weir/accept/detail/accept_thread.hpp"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <iterator>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "output.hpp"
#include "sockets.hpp"
#include "weir/listen/detail/bound_socket.hpp"

using namespace weir;
using Catch::Matchers::Contains;

namespace {

struct fixture {
  explicit fixture(std::uint32_t limit, excess_kind excess = excess_kind::wait, int status = 0)
      : permits(limit), a(where(), permits, deliver, excess) {
    ::fcntl(listener.get(), F_SETFL, status);
    a.start();
  }
  ~fixture() { a.stop(); }

  accept_thread::listening where() const { return {listener.get(), listener.local()}; }
  void add(accepted_socket s) {
    const std::lock_guard lock(mutex);
    arrived.push_back(std::move(s));
  }
  std::size_t count() {
    const std::lock_guard lock(mutex);
    return arrived.size();
  }
  bool accepts(std::size_t n) {
    return test::eventually([&] { return count() >= n; });
  }

  bound_socket listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), socket_settings());
  permit_pool permits;
  std::mutex mutex;
  std::vector<accepted_socket> arrived;
  std::function<void(accepted_socket)> deliver = [this](accepted_socket s) { add(std::move(s)); };
  accept_thread a;
};

// The other workers, as a test has them.
struct siblings : sibling_workers {
  [[nodiscard]] std::uint32_t own_load() const noexcept override { return own->in_use(); }
  [[nodiscard]] std::uint32_t least_load() const noexcept override { return least; }
  [[nodiscard]] bool any_passed_over() const noexcept override { return stopped; }
  void has_grown() noexcept override {}
  void hold_up(bool yes) noexcept override { held += yes ? 1 : -1; }
  void wait_for_least(std::uint32_t, std::chrono::milliseconds) noexcept override {
    ++waits;
    std::this_thread::yield();
  }

  permit_pool* own = nullptr;
  std::atomic<std::uint32_t> least{0};
  std::atomic<bool> stopped{false};
  std::atomic<int> held{0};
  std::atomic<int> waits{0};
};

// Another process that has the lock and does not give it back.
class lock_holder {
 public:
  explicit lock_holder(int lock) {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    const unique_fd reader(ends[0]);
    const unique_fd writer(ends[1]);
    process_ = ::fork();
    if (process_ == 0) {
      struct flock all{};
      all.l_type = F_WRLCK;
      const char done = ::fcntl(lock, F_SETLKW, &all) == 0 ? 'y' : 'n';
      static_cast<void>(!::write(ends[1], &done, 1));
      for (;;) ::pause();
    }
    char locked = 0;
    REQUIRE(::read(reader.get(), &locked, 1) == 1);
    REQUIRE(locked == 'y');
  }
  lock_holder(const lock_holder&) = delete;
  lock_holder& operator=(const lock_holder&) = delete;
  ~lock_holder() { kill(); }

  void kill() {
    if (process_ == 0) return;
    ::kill(process_, SIGKILL);
    ::waitpid(std::exchange(process_, 0), nullptr, 0);
  }

 private:
  ::pid_t process_ = 0;
};

// Starts `a` in a thread whose calls of fcntl(2) with F_SETLK fail, and so do those of the thread that it
// starts.
void start_without_unlocking(accept_thread& a) {
  bool filtered = false;
  std::thread([&] {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_SETLK, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOLCK),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{std::size(program), program};
    filtered = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
               ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
    a.start();
  }).join();
  REQUIRE(filtered);
}

}  // namespace

TEST_CASE("an accept thread takes all connections, each with a permit") {
  for (int status = 0; status <= O_NONBLOCK; status += O_NONBLOCK) {
    fixture f(100, excess_kind::wait, status);
    std::vector<test::client> clients;
    for (int i = 0; i < 20; ++i) clients.emplace_back(f.listener.local());
    REQUIRE(f.accepts(20));
    f.a.stop();
    CHECK(f.a.accepted() == 20);
    CHECK(f.permits.in_use() == 20);
    for (const auto& s : f.arrived) CHECK((s.fd && s.permit && s.peer.is_ip()));
  }
}

TEST_CASE("an accept thread that is woken does not take the CPU from a loop") {
  fixture f(0);  // takes nothing
  std::atomic<int> policy{-1};
  permit_pool one(1);
  accept_thread taking(f.where(), one, [&](accepted_socket) { policy = ::sched_getscheduler(0); });
  taking.start();
  const test::client client(f.listener.local());
  CHECK(test::eventually([&] { return policy == SCHED_BATCH; }));
  taking.stop();
}

TEST_CASE("the permit of the wait is told, and given back at the end") {
  fixture f(1);
  REQUIRE(test::eventually([&] { return f.a.holds_permit(); }));
  f.a.stop();
  CHECK_FALSE(f.a.holds_permit());
  CHECK(f.permits.in_use() == 0);
}

TEST_CASE("without a permit an accept thread waits until one is given back") {
  fixture f(1);
  const test::client first(f.listener.local());
  const test::client second(f.listener.local());
  REQUIRE(f.accepts(1));
  CHECK(f.count() == 1);
  {
    const std::lock_guard lock(f.mutex);
    f.arrived[0].permit = {};
  }
  CHECK(f.accepts(2));
}

TEST_CASE("stopping does not depend on what the accept thread waits for") {
  {
    fixture waiting_for_clients(1);
    waiting_for_clients.a.stop();
  }
  fixture waiting_for_permits(1);
  const test::client only(waiting_for_permits.listener.local());
  REQUIRE(waiting_for_permits.accepts(1));
  waiting_for_permits.a.stop();
  const test::client late(waiting_for_permits.listener.local());
  CHECK(late.is_silent());
  CHECK(waiting_for_permits.count() == 1);
}

TEST_CASE("with excess refused, a client beyond the limit is closed at once") {
  fixture f(1, excess_kind::refuse);
  const test::client first(f.listener.local());
  REQUIRE(f.accepts(1));
  test::client second(f.listener.local());
  CHECK(second.is_closed());
  CHECK(f.a.refused() == 1);
}

TEST_CASE("out of descriptors an accept thread pauses and recovers") {
  if (build::sanitized) return;  // which needs descriptors of its own
  fixture f(10);
  const test::output error(2);
  // The call that waits may have the descriptor for the first connection already.
  const weir::unique_fd one(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const weir::unique_fd other(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto to = f.listener.local().to_sockaddr();
  {
    const test::no_descriptors none;
    REQUIRE(::connect(one.get(), to.get(), to.size) == 0);
    REQUIRE(::connect(other.get(), to.get(), to.size) == 0);
    REQUIRE(test::eventually([&] { return f.a.pauses() > 0; }));
  }
  CHECK(f.accepts(2));
  CHECK(error.has("pausing for"));
}

TEST_CASE(
    "an accept thread above its share takes nothing until the least loaded sibling has more, however long") {
  siblings others;
  fixture f(200);
  f.a.stop();
  std::vector<permit_pool::permit> served;
  for (int i = 0; i < 10; ++i) served.push_back(f.permits.try_acquire());
  others.own = &f.permits;
  std::vector<test::client> clients;
  for (int i = 0; i < 12; ++i) clients.emplace_back(f.listener.local());
  accept_thread a(f.where(), f.permits, f.deliver);
  a.stand_back_for(others);
  a.start();

  // It looks again and again, and no look makes it go on.
  REQUIRE(test::eventually([&] { return others.waits >= 5; }));
  CHECK(a.accepted() == 0);

  others.least = 9;  // allows 12 beside it
  REQUIRE(f.accepts(2));
  const int waits = others.waits;
  REQUIRE(test::eventually([&] { return others.waits >= waits + 5; }));
  CHECK(a.accepted() == 2);

  others.least = UINT32_MAX;  // none of them can take a connection
  CHECK(f.accepts(12));
  a.stop();
  CHECK(others.held == 1);  // by its end
}

TEST_CASE("an accept thread that has no permit to give does not make its siblings wait for it") {
  siblings others;
  fixture f(1);
  f.a.stop();
  others.own = &f.permits;
  others.least = UINT32_MAX;
  accept_thread a(f.where(), f.permits, f.deliver);
  a.stand_back_for(others);
  a.start();
  const test::client first(f.listener.local());
  CHECK(test::eventually([&] { return others.held == 1; }));
  {
    const std::lock_guard lock(f.mutex);
    f.arrived[0].permit = {};
  }
  CHECK(test::eventually([&] { return others.held == 0; }));
  a.stop();
}

TEST_CASE("whatever a hand-over throws costs that connection only, and is counted") {
  fixture f(100);
  f.a.stop();
  const test::output error(2);
  int calls = 0;
  accept_thread a(f.where(), f.permits, [&](accepted_socket s) {
    switch (++calls) {
      case 1: throw std::bad_alloc();
      case 2: throw 7;
      case 3: throw std::system_error(std::make_error_code(std::errc::operation_canceled));
      default: f.add(std::move(s));
    }
  });
  a.start();
  std::vector<test::client> clients;
  for (int i = 0; i < 5; ++i) clients.emplace_back(f.listener.local());
  REQUIRE(f.accepts(2));
  a.stop();
  CHECK(a.dropped() == 3);
  CHECK(a.pauses() == 0);
  CHECK(f.permits.in_use() == 2);
  for (std::size_t i = 0; i < 3; ++i) CHECK(clients[i].is_closed());
  const auto text = error.text();
  CHECK(std::count(text.begin(), text.end(), '\n') == 1);
}

TEST_CASE(
    "with a sibling that is stopped an accept thread takes connections without the lock that sibling has") {
  const unique_fd lock(::memfd_create("lock", MFD_CLOEXEC));
  const auto listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  const lock_holder holder(lock.get());
  permit_pool permits(100);
  siblings others;
  others.own = &permits;
  others.least = 50;
  accept_thread a({{listener.get(), listener.local()}}, lock.get(), permits, [](accepted_socket) {});
  a.stand_back_for(others);
  a.start();
  const test::client waiting(listener.local());
  REQUIRE(test::eventually([&] { return a.holds_permit(); }));
  CHECK(a.accepted() == 0);
  others.stopped = true;
  CHECK(test::eventually([&] {
    a.retry();  // as with each heartbeat
    return a.accepted() == 1;
  }));
  a.stop();
}

TEST_CASE("however often an accept thread is asked to look again, one signal is on its way to it") {
  fixture f(10);
  f.a.stop();
  std::atomic<bool> arrived{false};
  std::atomic<bool> asked{false};
  int signals = 0;
  accept_thread a(f.where(), f.permits, [&](accepted_socket) {
    ::sigset_t wake;
    ::sigemptyset(&wake);
    ::sigaddset(&wake, SIGRTMIN);
    ::pthread_sigmask(SIG_BLOCK, &wake, nullptr);
    arrived = true;
    REQUIRE(test::eventually([&] { return asked.load(); }));
    const ::timespec at_once{};
    while (::sigtimedwait(&wake, nullptr, &at_once) > 0) ++signals;
    ::pthread_kill(::pthread_self(), SIGRTMIN);  // it is this signal that makes the thread ready for the next
    ::pthread_sigmask(SIG_UNBLOCK, &wake, nullptr);
  });
  a.start();
  const test::client one(f.listener.local());
  REQUIRE(test::eventually([&] { return arrived.load(); }));
  for (int i = 0; i < 1000; ++i) a.retry();
  asked = true;
  a.stop();
  CHECK(signals == 1);
}

TEST_CASE("with a lock, one accept thread takes from all of its listeners") {
  const unique_fd lock(::memfd_create("lock", MFD_CLOEXEC));
  const auto one = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  const auto other = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  permit_pool permits(100);
  std::mutex mutex;
  std::vector<accepted_socket> arrived;
  accept_thread a({{one.get(), one.local()}, {other.get(), other.local()}}, lock.get(), permits,
                  [&](accepted_socket s) {
                    const std::lock_guard guard(mutex);
                    arrived.push_back(std::move(s));
                  });
  a.start();
  std::vector<test::client> clients;
  for (int i = 0; i < 10; ++i) {
    clients.emplace_back(one.local());
    clients.emplace_back(other.local());
  }
  CHECK(test::eventually([&] {
    const std::lock_guard guard(mutex);
    return arrived.size() == 20;
  }));
  a.stop();
  CHECK(a.accepted() == 20);
}

TEST_CASE("a lock that the kernel does not unlock is given up all the same, and the log says so") {
  const unique_fd lock(::memfd_create("lock", MFD_CLOEXEC));
  const auto listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  const test::output error(2);
  permit_pool permits(1);  // after one connection it waits for a permit, and needs no lock
  std::atomic<int> arrived = 0;
  std::vector<accepted_socket> kept;
  accept_thread a({{listener.get(), listener.local()}}, lock.get(), permits, [&](accepted_socket s) {
    kept.push_back(std::move(s));
    ++arrived;
  });
  start_without_unlocking(a);
  const test::client one(listener.local());
  CHECK(test::eventually([&] { return arrived == 1; }));
  const lock_holder next(lock.get());  // waits until it has both locks
  a.stop();
  CHECK_THAT(error.text(), Contains("the accept lock: No locks available"));
  kept.clear();  // the thread waits for this permit
}

TEST_CASE("a thread accepts no more than its loop takes up, and its siblings do not wait for it") {
  const auto listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  permit_pool permits(100);
  siblings others;
  others.own = &permits;
  others.least = 50;
  std::mutex mutex;
  std::vector<accepted_socket> waiting;
  ::fcntl(listener.get(), F_SETFL, 0);
  accept_thread a({listener.get(), listener.local()}, permits, [&](accepted_socket s) {
    const std::lock_guard guard(mutex);
    waiting.push_back(std::move(s));
  });
  const auto count = [&] {
    const std::lock_guard guard(mutex);
    return waiting.size();
  };
  a.stand_back_for(others);
  a.stand_back_while([&] { return count() >= 2; });
  a.start();
  std::vector<test::client> clients;
  for (int i = 0; i < 10; ++i) clients.emplace_back(listener.local());
  CHECK(test::eventually([&] { return others.held == 1; }));
  CHECK(count() == 2);
  {
    const std::lock_guard guard(mutex);
    waiting.clear();
  }
  a.has_caught_up();
  CHECK(test::eventually([&] { return a.accepted() == 4; }));
  CHECK(test::eventually([&] { return others.held == 1; }));
  a.stop();
}

TEST_CASE("the lock of a process that is killed goes to the next one") {
  const unique_fd lock(::memfd_create("lock", MFD_CLOEXEC));
  const auto listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  lock_holder holder(lock.get());
  permit_pool permits(100);
  accept_thread a({{listener.get(), listener.local()}}, lock.get(), permits, [](accepted_socket) {});
  a.start();
  const test::client waiting(listener.local());
  CHECK(a.accepted() == 0);
  holder.kill();
  CHECK(test::eventually([&] { return a.accepted() == 1; }));
}
