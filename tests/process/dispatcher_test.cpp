#include "weir/process/detail/dispatcher.hpp"

#include <fcntl.h>
#include <netinet/in.h>

#include <catch2/catch.hpp>

#include <deque>

#include "output.hpp"
#include "sockets.hpp"
#include "weir/process/detail/signals.hpp"

using namespace weir;
using namespace weir::process;
using Catch::Matchers::Contains;

namespace {

// Workers that a test plays itself, and a listener.
struct fixture {
  explicit fixture(accept_kind mode, std::size_t workers = 2,
                   policy_kind policy = policy_kind::least_connections) {
    s.processes.accept = mode;
    s.distribute.policy = policy;
    s.limits.connections = 100;
    d.emplace(s);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(listener.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(::listen(listener.get(), 100) == 0);
    for (std::size_t i = 0; i < workers; ++i) {
      auto ends = descriptor_channel::make();
      auto& made = lanes.emplace_back();
      made.index = static_cast<unsigned>(i);
      made.channel = std::move(ends.first);
      made.score = board.take();
      made.takes = true;
      made.far_end = descriptor_channel(unique_fd(::fcntl(ends.second.get(), F_DUPFD_CLOEXEC, 0)));
      of_workers.push_back(std::move(ends.second));
      places.push_back(&made);
    }
  }

  void connect(int n = 1) {
    sockaddr_in at{};
    socklen_t size = sizeof at;
    ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&at), &size);
    for (int i = 0; i < n; ++i) {
      clients.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      REQUIRE(::connect(clients.back().get(), reinterpret_cast<sockaddr*>(&at), size) == 0);
    }
  }

  // One turn of the master's loop; how many descriptors it looked at.
  std::size_t turn() {
    std::vector<pollfd> set;
    const std::vector<watched_listener> listeners{{listener.get(), layers}};
    d->add_to(set, listeners, places);
    ::poll(set.data(), set.size(), 0);
    d->serve(set, listeners, places);
    return set.size();
  }

  std::size_t received(std::size_t worker) {
    std::size_t n = 0;
    while (of_workers[worker].receive().what == descriptor_channel::received::kind::taken) ++n;
    return n;
  }

  settings s;
  socket_layers layers;  // of the listener
  scoreboard board;
  unique_fd listener{::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  std::optional<dispatcher> d;
  std::deque<lane> lanes;
  std::vector<lane*> places;
  std::vector<descriptor_channel> of_workers;
  std::vector<unique_fd> clients;
};

}  // namespace

TEST_CASE("connections go to workers in turn while none has more than another") {
  fixture f(accept_kind::dispatch);
  f.connect(10);
  f.turn();
  CHECK(f.lanes[0].unacknowledged.size() == 5);
  CHECK(f.received(0) == 5);
  CHECK(f.received(1) == 5);
}

TEST_CASE("the layers of a listener go with its connections, also by another worker and another master") {
  fixture f(accept_kind::dispatch);
  f.layers = {.proxy = true, .tls = true};
  f.connect(2);
  f.turn();
  CHECK(f.of_workers[0].receive().content.layers == f.layers);

  f.lanes[0].takes = false;
  f.d->lost(f.lanes[0]);
  f.places[0] = nullptr;
  f.places[1] = nullptr;
  passed_connection waits = f.d->take_waiting();
  CHECK(waits.layers == f.layers);
  const signal_source signals;
  f.d->parked().add(std::move(waits));
  auto ends = descriptor_channel::make();
  f.d->parked().give_to(ends.first);
  CHECK(ends.second.receive().content.layers == f.layers);
}

TEST_CASE("a worker with more connections than others gets none") {
  fixture f(accept_kind::dispatch);
  f.lanes[0].score->connections = 10;
  f.connect(5);
  f.turn();
  CHECK(f.received(0) == 0);
  CHECK(f.received(1) == 5);
}

TEST_CASE("what a dead worker has not acknowledged goes to another") {
  fixture f(accept_kind::dispatch);
  f.connect(10);
  f.turn();
  const auto first = f.of_workers[0].receive();
  REQUIRE(first.what == descriptor_channel::received::kind::taken);
  dispatcher::acknowledged(f.lanes[0], first.content.number);
  CHECK(f.lanes[0].unacknowledged.size() == 4);

  f.lanes[0].takes = false;
  f.d->lost(f.lanes[0]);
  f.places[0] = nullptr;
  f.turn();
  CHECK(f.received(1) == 9);
}

TEST_CASE("what a worker has not received is taken back, and what it has received stays with it") {
  fixture f(accept_kind::dispatch);
  f.connect(10);
  f.turn();
  CHECK(f.lanes[0].silent_since != lane::clock::time_point::max());
  const auto first = f.of_workers[0].receive();
  REQUIRE(first.what == descriptor_channel::received::kind::taken);
  f.lanes[0].score->coming.fetch_sub(1);  // as the worker does
  f.lanes[0].outgoing.send(f.lanes[0].channel, {message::kind::placed, 3});

  f.places[0] = nullptr;  // it is passed over
  f.d->recall(f.lanes[0]);
  CHECK(f.lanes[0].unacknowledged.size() == 1);
  CHECK(f.lanes[0].score->coming == 0);
  f.turn();
  CHECK(f.received(1) == 9);
  const auto rest = f.of_workers[0].receive();
  CHECK(rest.content.what == message::kind::placed);
  CHECK(rest.content.number == 3);
  CHECK(f.received(0) == 0);

  dispatcher::acknowledged(f.lanes[0], first.content.number);
  f.lanes[0].has_spoken();
  CHECK(f.lanes[0].silent_since == lane::clock::time_point::max());
}

TEST_CASE("a client of ip-hash waits for the worker that knows it") {
  CHECK_FALSE(fixture(accept_kind::dispatch, 2, policy_kind::ip_hash).d->may_choose_another());
  CHECK(fixture(accept_kind::dispatch).d->may_choose_another());
}

TEST_CASE("what a worker above its share hands on goes to the worker with the fewest, in flight or not") {
  fixture f(accept_kind::reuseport, 2, policy_kind::round_robin);
  f.lanes[0].score->connections = 4;
  f.connect(8);
  for (int i = 0; i < 8; ++i)
    f.d->place(unique_fd(::accept4(f.listener.get(), nullptr, nullptr, SOCK_CLOEXEC)));
  std::vector<pollfd> set;
  f.d->add_to(set, {}, f.places);
  const auto first = f.received(0);  // a difference of one counts as none
  CHECK(first <= 3);
  CHECK(f.received(1) == 8 - first);
  CHECK(f.lanes[1].score->coming == 8 - first);
}

TEST_CASE("no connection is accepted while no worker can take one") {
  fixture f(accept_kind::dispatch);
  for (auto& each : f.lanes) each.score->connections = 100;
  f.connect();
  CHECK(f.turn() == 0);
  CHECK(f.d->next_event() != dispatcher::clock::time_point::max());
  f.lanes[1].score->connections = 99;
  CHECK(f.turn() == 1);
  CHECK(f.received(1) == 1);
}

TEST_CASE("with excess refused, a connection beyond the limit is closed at once") {
  fixture f(accept_kind::dispatch);
  f.s.limits.excess = excess_kind::refuse;
  f.d->configure(f.s);
  for (auto& each : f.lanes) each.score->connections = 100;
  f.connect();
  f.turn();
  char byte;
  REQUIRE(test::wait_readable(f.clients[0].get()));
  CHECK(::recv(f.clients[0].get(), &byte, 1, 0) <= 0);
}

TEST_CASE("a listener that a worker was told of is left alone until the worker has answered") {
  fixture f(accept_kind::notify);
  f.connect(2);
  CHECK(f.turn() == 1);
  CHECK(f.received(0) + f.received(1) == 1);
  CHECK(f.turn() == 0);
  for (auto& each : f.lanes) f.d->answered(each, 0);
  CHECK(f.turn() == 1);
  CHECK(f.received(0) + f.received(1) == 1);
  for (auto& each : f.lanes) f.d->lost(each);  // and when it cannot answer any more
  CHECK(f.turn() == 1);
}

TEST_CASE("the same client meets the same worker with ip-hash") {
  fixture f(accept_kind::dispatch, 4, policy_kind::ip_hash);
  f.connect(12);
  f.turn();
  std::vector<std::size_t> counts;
  for (std::size_t i = 0; i < 4; ++i) counts.push_back(f.received(i));
  CHECK(std::count(counts.begin(), counts.end(), 0) == 3);
}

TEST_CASE("a decision is told with the figures that it was taken on") {
  fixture f(accept_kind::dispatch);
  f.s.log.distribute = true;
  f.d->configure(f.s);
  f.lanes[0].score->connections = 7;
  f.connect();
  const test::output error(2);
  f.turn();
  CHECK_THAT(error.text(), Contains("least-connections of loads [7 0]: worker 1"));
}

TEST_CASE("workers that compete are all told, and the listener is looked at again when all have answered") {
  fixture f(accept_kind::notify, 3, policy_kind::compete);
  f.connect();
  f.turn();
  CHECK(f.received(0) == 1);
  CHECK(f.received(1) == 1);
  CHECK(f.received(2) == 1);
  f.d->answered(f.lanes[0], 0);
  f.d->answered(f.lanes[2], 0);
  CHECK(f.turn() == 0);
  f.d->lost(f.lanes[1]);  // a dead worker need not answer
  CHECK(f.turn() == 1);
  CHECK(f.received(0) == 1);
}

namespace {

// The other end of a connection that is parked in the master.
unique_fd parked_at(fixture& f) {
  auto ends = test::unix_pair();
  f.d->parked().add(std::move(ends.a));
  return std::move(ends.b);
}

}  // namespace

TEST_CASE("a parked connection is placed by policy when its bytes come, in every mode") {
  for (const auto mode : {accept_kind::dispatch, accept_kind::shared}) {
    signal_source signals;
    fixture f(mode, 2, policy_kind::round_robin);
    const auto first = parked_at(f);
    const auto second = parked_at(f);
    f.turn();
    CHECK(f.received(0) + f.received(1) == 0);
    test::put(second.get(), "hello");
    f.d->parked().stirred(signals.next().value().fd);
    f.turn();
    CHECK(f.d->parked().size() == 1);
    const std::size_t of_first = f.received(0);
    CHECK(of_first + f.received(1) == 1);
    test::put(first.get(), "hello");
    f.d->parked().stirred(signals.next().value().fd);
    f.turn();
    CHECK(f.d->parked().size() == 0);
    CHECK(f.received(of_first == 1 ? 1 : 0) == 1);
  }
}

TEST_CASE("a parked connection whose bytes have come waits while no worker has room") {
  const signal_source signals;
  fixture f(accept_kind::dispatch);
  for (auto& each : f.lanes) each.takes = false;
  const auto client = parked_at(f);
  test::put(client.get(), "hello");
  f.d->parked().any_stirred();
  f.turn();
  CHECK(f.d->parked().size() == 1);
  f.lanes[1].takes = true;
  f.turn();
  CHECK(f.received(1) == 1);
}

TEST_CASE(
    "a connection for which a worker has no descriptor goes to another one, and is not acknowledged with "
    "later ones") {
  fixture f(accept_kind::dispatch);
  const test::output error(2);
  f.connect(6);
  f.turn();
  const auto first = f.of_workers[0].receive();
  const auto second = f.of_workers[0].receive();
  REQUIRE(second.what == descriptor_channel::received::kind::taken);
  f.received(0);
  f.received(1);
  f.d->refused(f.lanes[0], first.content.number);
  dispatcher::acknowledged(f.lanes[0], second.content.number);
  CHECK(f.lanes[0].unacknowledged.size() == 1);
  f.turn();
  CHECK(f.received(0) == 0);  // it rests
  CHECK(f.received(1) == 1);
  CHECK_THAT(error.text(), Contains("worker 0 has no descriptor"));
}

TEST_CASE("connections that every worker refuses wait, and are placed when a worker takes some again") {
  fixture f(accept_kind::dispatch, 1);
  const test::output error(2);
  f.connect(3);
  f.turn();
  while (f.received(0) != 0) {
  }
  for (std::uint32_t number = 1; number <= 3; ++number) f.d->refused(f.lanes[0], number);
  f.turn();
  CHECK(f.received(0) == 0);
  CHECK(f.d->next_event() != dispatcher::clock::time_point::max());
  f.lanes[0].paused_until = {};
  f.turn();
  CHECK(f.received(0) == 3);
}

TEST_CASE("a worker whose channel is full holds up no connection of others") {
  fixture f(accept_kind::dispatch);
  while (f.lanes[0].channel.send({message::kind::notice, 0}) == descriptor_channel::sent::yes) {
  }
  f.connect(6);
  f.turn();
  CHECK(f.received(1) == 6);
  CHECK(f.lanes[0].unacknowledged.empty());
  CHECK(f.lanes[0].score->coming == 0);
  CHECK(f.lanes[1].score->coming == 6);
}

TEST_CASE("a worker that had no descriptor when it was told of a listener rests, and another one is told") {
  fixture f(accept_kind::notify);
  const test::output error(2);
  f.connect();
  f.turn();
  const std::size_t told = f.received(0) == 1 ? 0 : 1;
  f.received(1);
  f.d->unable(f.lanes[told], 0);
  f.turn();
  CHECK(f.received(told) == 0);
  CHECK(f.received(1 - told) == 1);
  f.d->unable(f.lanes[1 - told], 0);
  CHECK(f.turn() == 0);  // the listener is not watched while no worker can accept
  CHECK(f.d->next_event() != dispatcher::clock::time_point::max());
}

TEST_CASE("a listener is watched again when the worker that was told of it drains") {
  fixture f(accept_kind::notify);
  f.connect();
  CHECK(f.turn() == 1);
  CHECK(f.turn() == 0);
  for (const auto& each : f.lanes) f.d->drains(each);
  CHECK(f.turn() == 1);
}

TEST_CASE("a connection waits in the master while there is no worker at all") {
  for (const auto mode : {accept_kind::dispatch, accept_kind::notify}) {
    fixture f(mode, 1);
    const signal_source signals;
    f.connect(3);
    f.turn();
    const auto client = parked_at(f);
    test::put(client.get(), "hello");
    f.d->parked().any_stirred();
    f.d->lost(f.lanes[0]);
    f.places.clear();
    for (int i = 0; i < 3; ++i) f.turn();

    f.places.push_back(&f.lanes[0]);
    f.received(0);
    f.turn();
    f.turn();
    CHECK(f.received(0) != 0);
  }
}
