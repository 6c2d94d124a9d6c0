#include "weir/accept/detail/accept_operation.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "loop.hpp"
#include "weir/listen/detail/bound_socket.hpp"

using namespace weir;

namespace {

struct outcomes {
  std::vector<detail::accept_outcome> all;
  ~outcomes() {
    for (const auto& o : all)
      if (o.fd >= 0) ::close(o.fd);
  }
};

// Accepts until an outcome is no connection, or that many have come.
task<> accept(listening_descriptor* on, permit_pool* permits, std::size_t count, outcomes* out) {
  for (std::size_t i = 0; i < count; ++i) {
    detail::accept_operation op(*on, *permits);
    const detail::accept_outcome one = co_await op;
    out->all.push_back(one);
    if (one.error != 0) co_return;
  }
}

struct fixture {
  test::loop l;
  bound_socket listener = bound_socket::bind(endpoint::parse("127.0.0.1:0"), {});
  listening_descriptor on{l.core().driver(), listener.get()};
  permit_pool permits{100};
  outcomes got;
  ~fixture() { l.core().driver().forget(on); }
};

}  // namespace

static_assert(std::is_trivially_destructible_v<detail::accept_operation>);

TEST_CASE("an accepted socket does not block, is close-on-exec, knows its peer and holds a permit") {
  fixture f;
  const test::client c(f.listener.local());
  f.l.run(accept(&f.on, &f.permits, 1, &f.got));
  REQUIRE(f.got.all.size() == 1);
  const auto& one = f.got.all[0];
  CHECK(one.error == 0);
  CHECK((::fcntl(one.fd, F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(one.fd, F_GETFD) & FD_CLOEXEC) != 0);
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(c.get(), reinterpret_cast<sockaddr*>(&address), &size);
  CHECK(one.peer == peer_address::from(reinterpret_cast<const sockaddr*>(&address), size));
  CHECK(f.permits.in_use() == 1);
}

TEST_CASE("an accept waits for the connection that is not there yet, and a burst is taken whole") {
  fixture f;
  std::vector<test::client> clients;
  const auto come = [](const bound_socket* to, std::vector<test::client>* out) -> task<> {
    co_await test::rounds();
    for (int i = 0; i < 50; ++i) out->emplace_back(to->local());
  };
  f.l.run(accept(&f.on, &f.permits, 50, &f.got), come(&f.listener, &clients));
  CHECK(f.got.all.size() == 50);
  CHECK(f.permits.in_use() == 50);
}

TEST_CASE("without a permit nothing is accepted: the outcome says so, and the client stays in the queue") {
  fixture f;
  permit_pool none(0);
  const test::client c(f.listener.local());
  f.l.run(accept(&f.on, &none, 1, &f.got));
  REQUIRE(f.got.all.size() == 1);
  CHECK(f.got.all[0].error == EUSERS);
  CHECK(f.got.all[0].fd == -1);
  f.on.readable = true;
  f.l.run(accept(&f.on, &f.permits, 1, &f.got));
  CHECK(f.got.all.back().error == 0);
}

TEST_CASE("without a descriptor the outcome is the errno, and the permit is free again") {
  if (build::sanitized) return;  // a sanitizer needs descriptors of its own, to look at memory
  fixture f;
  const test::client c(f.listener.local());
  {
    const test::no_descriptors none;
    f.l.run(accept(&f.on, &f.permits, 1, &f.got));
  }
  REQUIRE(f.got.all.size() == 1);
  CHECK(f.got.all[0].error == EMFILE);
  CHECK(f.permits.in_use() == 0);
}

TEST_CASE("a cancelled accept ends with ECANCELED as a value and loses no connection") {
  fixture f;
  test::root r(f.l.core(), accept(&f.on, &f.permits, 1, &f.got));
  f.l.run(test::rounds());
  REQUIRE(r.is_suspended());
  const test::client c(f.listener.local());
  r.end_wait(ECANCELED);
  f.l.run(test::until([&] { return r.has_ended(); }));
  REQUIRE(f.got.all.size() == 1);
  CHECK(f.got.all[0].error == ECANCELED);
  CHECK(f.permits.in_use() == 0);
  f.l.run(accept(&f.on, &f.permits, 1, &f.got));
  CHECK(f.got.all[1].error == 0);
}
