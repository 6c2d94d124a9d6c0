#include "weir/connection/detail/phase.hpp"

#include <sched.h>
#include <sys/mman.h>

#include <csignal>
#include <cstdlib>
#include <deque>
#include <future>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "alive.hpp"
#include "sockets.hpp"
#include "weir/connection/detail/connection_starter.hpp"
#include "weir/connection/outbox.hpp"
#include "weir/connection/reader.hpp"
#include "weir/connection/writer.hpp"
#include "weir/core/detail/virtual_clock.hpp"
#include "weir/core/sleep.hpp"
#include "weir/core/within.hpp"
#include "weir/task/scope.hpp"
#include "weir/workers/detail/worker_migration.hpp"

// Random sequences of calls and events over a core whose time the test moves, in every way in which an
// operation may wait. One seed is one sequence. In builds with checks the table of phases ends the program at
// an event that a phase does not know, and under a sanitizer each byte of memory is watched.
//   WEIR_SEQUENCE_SECONDS  how long each way of waiting is tried (10)
//   WEIR_SEQUENCE_SEED     the first seed (1)

using namespace weir;
using namespace std::chrono_literals;

namespace {

enum class way { loop, blocking, worker_io, core_io, ring, ring_core_io };

// The bytes that a server sends over a connection, so that each place is known.
const std::string& stream_of_bytes() {
  static const std::string all = test::pattern(4 << 20);
  return all;
}

// The same bytes in a file, for all sequences: none of them writes to it.
int file_of_bytes() {
  static const unique_fd file = [] {
    unique_fd made(::memfd_create("weir sequence", MFD_CLOEXEC));
    const auto size = static_cast<ssize_t>(stream_of_bytes().size());
    REQUIRE(::write(made.get(), stream_of_bytes().data(), stream_of_bytes().size()) == size);
    return made;
  }();
  return file.get();
}

// What happens, for the person who looks into a seed.
template <class... T>
void tell(const T&... words) {
  static const bool told = std::getenv("WEIR_SEQUENCE_TELL") != nullptr;
  if (told) (std::cerr << ... << words) << '\n';
}

struct random_choice {
  explicit random_choice(std::uint64_t seed) : engine(seed) {}
  [[nodiscard]] unsigned below(unsigned n) { return static_cast<unsigned>(engine() % n); }
  [[nodiscard]] bool one_in(unsigned n) { return below(n) == 0; }
  std::mt19937_64 engine;
};

// What is known of one connection from both ends.
struct ledger {
  std::size_t promised = 0;   // bytes of sends that ended with true
  std::size_t attempted = 0;  // and of those that were begun
  bool exact = true;          // one coroutine sends, in order
  bool torn = false;          // a send was cancelled, failed, or the handler was destroyed in it
};

struct world;

// The queue of workers, one worker, on the test's own thread.
class hand_queue final : public worker_queue {
 public:
  hand_queue(bool core_does_io, std::size_t places) : worker_queue(core_does_io), places_(places) {}
  [[nodiscard]] migration* migrate(connection_state& c) override { return new worker_migration(c, *this); }
  void push(connection_state& c) noexcept override { ready.push_back(&c); }
  [[nodiscard]] bool reserve(connection_state& c) noexcept override {
    if (has_room() && waiting.empty()) return ++reserved_, true;
    waiting.push_back(&c);
    return false;
  }
  void give_back() noexcept override { --reserved_; }
  void withdraw(connection_state& c) noexcept override { std::erase(waiting, &c); }
  [[nodiscard]] bool has_room() const { return ready.size() + reserved_ < places_; }
  [[nodiscard]] bool grant_one() {
    if (waiting.empty() || !has_room()) return false;
    connection_state* const next = waiting.front();
    waiting.pop_front();
    ++reserved_;
    next->go_on_in_reserved_place();
    return true;
  }

  std::deque<connection_state*> ready;
  std::deque<connection_state*> waiting;

 private:
  std::size_t places_;
  std::size_t reserved_ = 0;
};

struct peer {
  unique_fd fd;
  std::shared_ptr<ledger> book;
  std::string got;
  bool ended = false;
  bool tcp = false;
};

settings small_settings() {
  settings s;
  s.loop.chunk_size = 4096;
  s.loop.inline_budget = 4;
  s.workers.count = 1;
  return s;
}

struct world {
  [[nodiscard]] bool over_ring() const { return waits == way::ring || waits == way::ring_core_io; }
  [[nodiscard]] bool has_worker() const {
    return waits == way::worker_io || waits == way::core_io || waits == way::ring_core_io;
  }

  world(std::uint64_t seed, way w) : choice(seed), waits(w) {
    static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
    s.limits.idle_timeout = choice.one_in(3) ? 0ms : std::chrono::milliseconds(20 + choice.below(2000));
    if (over_ring()) s.io = io_kind::io_uring;
    home.emplace(0U, std::nullopt, s, nullptr, nullptr, core_role{.io_blocks = w == way::blocking});
    entered_home.emplace(*home);
    clock.emplace(*home);
    handler = [this](connection c) {
      auto book = books[c.native_handle()];
      return serve(std::move(c), std::move(book), this);
    };
    starter.emplace(*home, s, handler, permits);
    if (w == way::blocking) starter->block(1ms);
    if (has_worker()) {
      queue.emplace(w != way::worker_io, 1 + choice.below(3));
      away.emplace(1U, std::nullopt, s, nullptr, nullptr,
                   core_role{.handlers_migrate = true, .opens_late = true});
      away_clock.emplace(*away);
      worker_there.emplace(*away);
      starter->run_handlers_on(*queue);
    }
    if ((w == way::loop || w == way::ring) && choice.one_in(2))
      starter->give_parked_to(
          [this](int) {
            const auto answer = choice.below(3);
            return answer == 0   ? parking::given::yes
                   : answer == 1 ? parking::given::not_now
                                 : parking::given::never;
          },
          choice.one_in(2));
  }

  void client_comes() {
    const bool tcp = choice.one_in(2);
    test::sockets ends = tcp ? test::tcp_pair(choice.one_in(2) ? 4096 : 0) : test::unix_pair();
    if (waits != way::blocking) test::make_non_blocking(ends.a.get());
    test::make_non_blocking(ends.b.get());
    auto& book = books[ends.a.get()] = std::make_shared<ledger>();
    peers.push_back({std::move(ends.b), book, {}, false, tcp});
    if (auto permit = permits.try_acquire())
      starter->deliver({std::move(ends.a), peer_address(), std::move(permit)});
  }

  void settle() {
    // A thread that blocks has always something to do: its slices.
    const int most = waits == way::blocking ? 4 : 10'000;
    for (int i = 0; i < most; ++i) {
      std::size_t ran = 0;
      if (waits == way::blocking) {
        home->context().restart();
        ran = home->context()
                  .poll_one();  // poll() would not end while an operation goes on from slice to slice
      } else {
        ran = home->poll();
      }
      if (queue) {
        while (queue->grant_one()) ++ran;
        if (!queue->ready.empty()) {
          connection_state& next = *queue->ready.front();
          queue->ready.pop_front();
          const core::entered there(*away);
          worker_there->take_in(next);
          ++ran;
        }
        ran += away->poll();
      }
      if (ran == 0) return;
    }
    if (waits != way::blocking) FAIL("it never settles");
  }

  void time_passes(std::chrono::milliseconds d) {
    if (waits == way::blocking)
      clock->advance(std::exchange(d, 0ms));  // each slice of a wait costs a real millisecond
    while (d.count() > 0) {
      d = clock->advance_to_next(d);
      settle();
    }
    if (away_clock) away_clock->advance(clock->elapsed() - away_clock->elapsed());
  }

  // Ends the core with all that is left.
  void end_core() {
    clock.reset();
    entered_home.reset();
    home.reset();
  }

  void look_at(peer& p) {
    char part[65536];
    while (!p.ended) {
      const auto n = ::recv(p.fd.get(), part, sizeof part, MSG_DONTWAIT);
      if (n > 0) {
        p.got.append(part, static_cast<std::size_t>(n));
        continue;
      }
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
      p.ended = true;
      if (!p.book->exact) return;
      REQUIRE(p.got.size() <= p.book->attempted);
      const bool in_order = stream_of_bytes().starts_with(p.got);
      REQUIRE(in_order);
      // An orderly end says that all that was begun has come. A unix socket knows no reset.
      if (n == 0 && p.tcp && !p.book->torn) REQUIRE(p.got.size() >= p.book->promised);
      if (n == 0 && p.tcp && p.book->torn) REQUIRE(p.got.size() == p.book->attempted);
    }
  }

  static task<> serve(connection c, std::shared_ptr<ledger> book, world* w);
  task<> act(connection* c, ledger* book, bool alone);
  static task<> child(connection* c, ledger* book, world* w);
  static task<> one_send(connection* c, ledger* book, std::size_t size, unsigned how, int fd);

  random_choice choice;
  way waits;
  settings s = small_settings();
  permit_pool permits{6};
  connection_handler handler;
  std::map<int, std::shared_ptr<ledger>> books;  // by the descriptor of the server's end
  int frames = 0;
  std::optional<core> away;
  std::optional<virtual_clock> away_clock;
  std::optional<worker> worker_there;
  std::optional<hand_queue> queue;
  std::optional<connection_starter> starter;
  std::vector<connection> kept;  // handles that somebody keeps; they may outlive the core
  std::vector<peer> peers;
  std::optional<core> home;
  std::optional<core::entered> entered_home;
  std::optional<virtual_clock> clock;
};

// Sends the next bytes of the stream in one of the ways that there are, and writes down how it ended.
task<> world::one_send(connection* c, ledger* book, std::size_t size, unsigned how, int fd) {
  if (!c->is_open()) {  // the end came before: nothing is promised any more
    const bool sent = co_await c->send("late");
    REQUIRE_FALSE(sent);
    co_return;
  }
  if (book->torn) book->exact = false;  // what was lost before leaves a gap
  const std::size_t from = book->attempted;
  const std::string_view text = std::string_view(stream_of_bytes()).substr(from, size);
  book->attempted += size;
  book->torn = true;  // until it has ended well
  bool sent = false;
  if (how == 0) {
    sent = co_await c->send(text);
  } else if (how == 1) {
    const std::array<std::string_view, 3> pieces = {text.substr(0, size / 3), "", text.substr(size / 3)};
    const std::span<const std::string_view> list(pieces);
    sent = co_await c->send(list);
  } else if (how == 2) {
    sent = co_await c->send_file(fd, static_cast<off_t>(from), size);
  } else {
    writer out(*c);
    out.write(text);
    sent = co_await out.flush();
  }
  if (!sent) co_return;
  book->torn = false;
  book->promised = book->attempted;
}

task<> world::child(connection* c, ledger* book, world* w) {
  const test::alive here(&w->frames);
  for (unsigned i = w->choice.below(4); i > 0; --i) co_await w->act(c, book, false);
}

// One random call of a handler.
task<> world::act(connection* c, ledger* book, bool alone) {
  const test::alive here(&frames);
  const unsigned what = choice.below(alone ? 22 : 12);
  tell("act ", what, " on ", c->native_handle(), " in ", name_of(c->state().now_in()),
       alone ? "" : " beside another");
  switch (what) {
    case 0:
    case 1: {
      [[maybe_unused]] const auto data = co_await c->receive();
      break;
    }
    case 2: {
      std::byte buffer[200];
      const std::span<std::byte> into(buffer, 1 + choice.below(200));
      co_await c->read_some(into);
      break;
    }
    case 3: {
      std::byte buffer[200];
      const std::span<std::byte> into(buffer, choice.below(200));
      co_await c->read_exactly(into);
      break;
    }
    case 4: {
      reader in(*c, 1000);
      if (choice.one_in(2))
        co_await in.until("!");
      else
        co_await in.exactly(choice.below(300));
      break;
    }
    case 5: {
      writer out(*c);
      reader in(*c, out);
      if (!alone || !c->is_open() || choice.one_in(2)) {
        co_await in.peek(1 + choice.below(20));
        break;
      }
      const std::size_t size = 1 + choice.below(3000);
      if (book->torn) book->exact = false;
      book->torn = true;
      out.write(std::string_view(stream_of_bytes()).substr(book->attempted, size));
      book->attempted += size;
      co_await in.peek(1);
      if (out.pending() == 0 && c->end() != ending::peer_reset) {
        book->torn = false;
        book->promised = book->attempted;
      }
      break;
    }
    case 6: co_await sleep_for(std::chrono::milliseconds(choice.below(300))); break;
    case 7: co_await yield(); break;
    case 8: c->set_idle_timeout(std::chrono::milliseconds(choice.below(500))); break;
    case 9: {
      auto receive = [](connection* on) -> task<> { static_cast<void>(co_await on->receive()); };
      task<> wait = receive(c);
      co_await within(std::chrono::milliseconds(1 + choice.below(100)), std::move(wait));
      break;
    }
    case 10:
      if (choice.one_in(3)) c->close();
      break;
    case 11:
      if (choice.one_in(3)) c->abort();
      break;
    case 12:
    case 13:
    case 14: {
      const bool big = choice.one_in(4);
      const std::size_t size = 1 + choice.below(big ? 90'000 : 500);
      if (book->attempted + size > stream_of_bytes().size()) break;
      co_await one_send(c, book, size, choice.below(4), file_of_bytes());
      break;
    }
    case 15:
      c->shutdown_send();
      book->exact = false;
      break;
    case 16: {
      scope children;
      book->exact = false;
      for (unsigned i = 1 + choice.below(2); i > 0; --i) children.spawn(child(c, book, this));
      if (choice.one_in(4)) break;  // destroyed unjoined
      co_await children.join();
      break;
    }
    case 17: {
      book->exact = false;
      outbox out(*c, 20'000);
      for (unsigned i = choice.below(6); i > 0; --i) {
        out.post(std::string(choice.below(9000), 'o'));
        co_await act(c, book, false);
      }
      break;
    }
    case 18:
      book->exact = false;
      if (const int fd = choice.one_in(4) ? c->release() : -1; fd >= 0) ::close(fd);
      break;
    case 19: {
      if (has_worker()) break;  // only its worker may use it
      book->exact = false;
      kept.push_back(std::move(*c));
      break;
    }
    case 20: throw std::runtime_error("as the seed says");
    case 21: {
      const connection gone = std::move(*c);
      break;
    }
    default: break;
  }
}

task<> world::serve(connection c, std::shared_ptr<ledger> book, world* w) {
  const test::alive here(&w->frames);
  for (unsigned i = w->choice.below(8); i > 0; --i) {
    try {
      co_await w->act(&c, book.get(), true);
    } catch (const std::system_error&) {
      if (w->choice.one_in(2)) throw;
    }
    if (!c.is_open() && w->choice.one_in(2)) co_return;
    if (c.state().is_orphan()) co_return;  // it was moved away
  }
  if (w->choice.one_in(2)) co_return c.park();
}

void run_sequence(std::uint64_t seed, way waits) {
  CAPTURE(seed);
  world w(seed, waits);
  const unsigned steps = 5 + w.choice.below(waits == way::blocking ? 20 : 60);
  bool stopped = false;
  for (unsigned i = 0; i < steps; ++i) {
    if (w.peers.size() < 3 && !w.choice.one_in(3)) w.client_comes();
    if (!w.peers.empty()) {
      peer& p = w.peers[w.choice.below(static_cast<unsigned>(w.peers.size()))];
      const unsigned what = w.choice.below(10);
      tell("peer ", p.fd.get(), " does ", what);
      switch (what) {
        case 0:
        case 1:
        case 2: {
          const std::string text(1 + w.choice.below(w.choice.one_in(5) ? 20'000 : 50),
                                 w.choice.one_in(3) ? '!' : 'x');
          const auto n = ::send(p.fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
          if (n < 0 && errno != EAGAIN) p.ended = true;  // the kernel reports a reset once, and has
          break;
        }
        case 3:
        case 4:
        case 5: w.look_at(p); break;
        case 6: ::shutdown(p.fd.get(), SHUT_WR); break;
        case 7:
          if (w.choice.one_in(3)) {
            const linger at_once{1, 0};
            ::setsockopt(p.fd.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
            p.fd.reset();
            std::erase_if(w.peers, [](const peer& each) { return !each.fd; });
          }
          break;
        case 8:
          if (w.choice.one_in(3)) {
            p.fd.reset();
            std::erase_if(w.peers, [](const peer& each) { return !each.fd; });
          }
          break;
        default: break;
      }
    }
    const unsigned what = w.choice.below(12);
    tell("event ", what);
    switch (what) {
      case 0: w.time_passes(std::chrono::milliseconds(w.choice.below(3000))); break;
      case 1:
        if (w.choice.one_in(6) && !std::exchange(stopped, true))
          w.starter->stop(w.choice.one_in(2) ? 0ms : 500ms);
        break;
      case 2:
        if (stopped && w.choice.one_in(3)) w.starter->cancel();
        break;
      case 3:
        if (!w.kept.empty()) {
          connection& k = w.kept[w.choice.below(static_cast<unsigned>(w.kept.size()))];
          switch (w.choice.below(4)) {
            case 0: k.close(); break;
            case 1: k.set_idle_timeout(100ms); break;
            case 2: k.abort(); break;
            default: k = connection();
          }
        }
        break;
      default: break;
    }
    if (!w.choice.one_in(4)) w.settle();
  }
  if (w.choice.one_in(2)) {  // an orderly end: everything goes by itself
    if (!stopped) w.starter->stop();
    for (peer& p : w.peers) ::shutdown(p.fd.get(), SHUT_WR);
    for (int i = 0; i < (waits == way::blocking ? 10 : 40); ++i) {
      w.kept.clear();
      w.settle();
      for (peer& p : w.peers) w.look_at(p);
      w.time_passes(1000ms);
    }
    w.starter->cancel();
    for (int i = 0; i < 10; ++i) {
      w.kept.clear();
      w.settle();
      for (peer& p : w.peers) w.look_at(p);
      w.time_passes(1000ms);
    }
    for (const connection_state* c : w.home->local<connection_table>().all())
      tell("left: ", c->fd, " ", name_of(c->now_in()), c->is_stopping() ? " stopping" : "",
           c->is_suspended() ? " suspended" : "", c->is_queued() ? " queued" : "");
    CHECK(w.frames == 0);
    CHECK(w.permits.in_use() == 0);
    CHECK(w.home->local<connection_table>().all().empty());
    CHECK_FALSE(w.home->timers().next());
  }
  w.end_core();  // handles that are kept belong to no core from now on
  CHECK(w.frames == 0);
  for (peer& p : w.peers) w.look_at(p);
  w.kept.clear();
  CHECK(w.permits.in_use() == 0);
}

unsigned number_of(const char* variable, unsigned otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : static_cast<unsigned>(std::strtoul(text, nullptr, 10));
}

// Those that once failed.
constexpr std::uint64_t seeds_to_repeat[] = {
    59982,  // was parked within the grace of a stop, waited to be taken, and the grace ended
};

// What it takes of the CPUs is what nothing else wants. A sanitizer finds what it finds in time that it is
// given.
void let_others_go_first() {
  const sched_param unused{};
  if (!build::sanitized) static_cast<void>(::sched_setscheduler(0, SCHED_IDLE, &unused));
}

// At least so many, also where other tests leave it nothing for the whole time.
void run_sequences(way waits, unsigned seconds = 10, std::uint64_t least = 1000) {
  for (const std::uint64_t seed : seeds_to_repeat) run_sequence(seed, waits);
  const auto end =
      std::chrono::steady_clock::now() + std::chrono::seconds(number_of("WEIR_SEQUENCE_SECONDS", seconds));
  const std::uint64_t first = number_of("WEIR_SEQUENCE_SEED", 1);
  std::uint64_t seed = first;
  const auto next = [&] {
    tell("seed ", seed);
    run_sequence(seed++, waits);
  };
  const auto in_spare_time = [&] {
    let_others_go_first();
    do next();
    while (std::chrono::steady_clock::now() < end);
  };
  std::async(std::launch::async, in_spare_time).get();
  const bool asked_for_long = std::getenv("WEIR_SEQUENCE_SECONDS") != nullptr;
  if (!build::sanitized && !asked_for_long)
    while (seed < first + least) next();
  std::cerr << seed - first << " sequences\n";
}

}  // namespace

TEST_CASE("random sequences of calls and events where operations wait in the loop") {
  run_sequences(way::loop);
}

TEST_CASE("random sequences of calls and events over io_uring") { run_sequences(way::ring, 4); }

TEST_CASE("random sequences of calls and events where an io_uring reads and writes for workers") {
  run_sequences(way::ring_core_io, 3);
}

TEST_CASE("random sequences of calls and events where operations block") {
  run_sequences(way::blocking, 10, 60);  // most of it is waiting
}

TEST_CASE("random sequences of calls and events where workers read and write") {
  run_sequences(way::worker_io);
}

TEST_CASE("random sequences of calls and events where the core reads and writes for workers") {
  run_sequences(way::core_io);
}
