#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "loop.hpp"
#include "waits.hpp"
#include "weir/core/test_core.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

// What the operations of the table are tried on.
struct ground : test::nothing {
  test_core core{test::over_io_of_run()};
  test::narrow_pair ends;
  reader in{ends.server};
  writer out{ends.server};
  int given = 7;
  bool ran = false;

  // Everything that has come to the client's side.
  std::string arrived() { return test::drained(ends.client.native_handle()); }

  // What a task that must not wait any more gives.
  template <class T>
  T now(task<T> t) {
    std::optional<T> result;
    const auto keep = [](task<T> asked, std::optional<T>* to) -> task<> { *to = co_await asked; };
    core->spawn(keep(std::move(t), &result));
    core.settle();
    REQUIRE(result);
    return std::move(*result);
  }
};

task<std::string> received(connection* c) {
  const auto data = co_await c->receive();
  co_return std::string(data.text());
}

task<bool> sent(connection* c, std::string_view text) {
  const bool all = co_await c->send(text);
  co_return all;
}

struct operation_case {
  const char* name;
  task<> (*begin)(ground*);
  void (*remains)(ground&);  // what its header promises of a cancelled one
};

// The bytes that a cancelled send had sent are gone, the connection stays usable.
void a_part_was_sent(ground& g) {
  const std::string part = g.arrived();
  CHECK_FALSE(part.empty());
  CHECK(part.size() < g.much.size());
  CHECK(g.much.starts_with(part));
  g.core.settle();
  CHECK(g.now(sent(&g.ends.server, "next")));
  CHECK(g.arrived() == "next");
}

const std::vector<operation_case> operations = {
    {"receive: has taken nothing",
     [](ground* g) -> task<> { static_cast<void>(co_await g->ends.server.receive()); },
     [](ground& g) {
       CHECK(g.now(sent(&g.ends.client, "later")));
       CHECK(g.now(received(&g.ends.server)) == "later");
     }},
    {"read_some: had nothing",
     [](ground* g) -> task<> {
       std::array<std::byte, 4> into;
       co_await g->ends.server.read_some(into);
     },
     [](ground& g) {
       CHECK(g.now(sent(&g.ends.client, "later")));
       CHECK(g.now(received(&g.ends.server)) == "later");
     }},
    {"read_exactly: what it had taken is gone",
     [](ground* g) -> task<> {
       std::array<std::byte, 4> into;
       co_await g->ends.client.send("abc");
       co_await g->ends.server.read_exactly(into);
     },
     [](ground& g) {
       CHECK(g.now(sent(&g.ends.client, "d")));
       CHECK(g.now(received(&g.ends.server)) == "d");
     }},
    {"reader: what has been read stays in the buffer",
     [](ground* g) -> task<> {
       co_await g->ends.client.send("begun");
       co_await g->in.until("\n");
     },
     [](ground& g) {
       CHECK(g.in.buffered() == "begun");
       CHECK(g.now(sent(&g.ends.client, ", ended\n")));
       const auto line = [](reader* in) -> task<std::string> {
         const auto text = co_await in->until("\n");
         co_return std::string(text.value_or("the end"));
       };
       CHECK(g.now(line(&g.in)) == "begun, ended");
     }},
    {"send: what was sent is gone", [](ground* g) -> task<> { co_await g->ends.server.send(g->much); },
     a_part_was_sent},
    {"send of pieces: what was sent is gone",
     [](ground* g) -> task<> {
       const std::array<std::string_view, 1> pieces{g->much};
       co_await g->ends.server.send(pieces);
     },
     a_part_was_sent},
    {"send_file: what was sent is gone",
     [](ground* g) -> task<> { co_await g->ends.server.send_file(g->file.get(), 0, g->file_size); },
     [](ground& g) {
       const std::string part = g.arrived();
       CHECK_FALSE(part.empty());
       CHECK(part.size() < g.file_size);
       CHECK(g.now(sent(&g.ends.server, "next")));
       CHECK(g.arrived() == "next");
     }},
    {"writer.flush: what is not sent yet stays in the writer",
     [](ground* g) -> task<> {
       g->out.write(g->much);
       co_await g->out.flush();
     },
     [](ground& g) {
       CHECK(g.out.pending() > 0);
       const auto flush = [](writer* out, bool* done) -> task<> { *done = co_await out->flush(); };
       bool done = false;
       std::string all;
       g.core->spawn(flush(&g.out, &done));
       for (int i = 0; i < 1000 && !done; ++i) {
         all += g.arrived();
         g.core.settle();
       }
       CHECK(all + g.arrived() == g.much);
     }},
    {"stopping: nothing has happened", [](ground* g) -> task<> { co_await g->ends.server.stopping(); },
     [](ground& g) { CHECK_FALSE(g.ends.server.is_stopping()); }},
    {"connect: the socket is closed",
     [](ground* g) -> task<> { const connection c = co_await connect(g->crowded.local()); },
     [](ground& g) { CHECK(g.core->local<connection_table>().all().size() == 2); }},
    {"sleep_for: nothing remains", [](ground* /*g*/) -> task<> { co_await sleep_for(1h); },
     [](ground& g) {
       g.core.advance(2h);
       CHECK_FALSE(g.core->timers().next());
     }},
    {"event: is as it was", [](ground* g) -> task<> { co_await g->event.wait(); },
     [](ground& g) {
       CHECK_FALSE(g.event.is_set());
       g.event.set();  // and nobody is there to be woken
       g.core.settle();
     }},
    {"semaphore: takes no permit", [](ground* g) -> task<> { co_await g->semaphore.acquire(); },
     [](ground& g) {
       g.semaphore.release();
       CHECK(g.semaphore.available() == 1);
     }},
    {"channel.receive: no value is lost", [](ground* g) -> task<> { co_await g->empty.receive(); },
     [](ground& g) {
       CHECK(g.empty.try_send(g.given));
       g.core.settle();
       CHECK(g.empty.try_receive() == 7);
     }},
    {"channel.send: the value is untouched", [](ground* g) -> task<> { co_await g->full.send(g->given); },
     [](ground& g) {
       CHECK(g.given == 7);
       CHECK(g.full.try_receive() == 0);
       g.core.settle();
       CHECK_FALSE(g.full.try_receive());
     }},
    {"cross_channel.receive: no value is lost",
     [](ground* g) -> task<> { co_await g->cross_empty.receive(); },
     [](ground& g) {
       CHECK(g.cross_empty.try_send(g.given));
       g.core.settle();
       CHECK(g.cross_empty.try_receive() == 7);
     }},
    {"cross_channel.send: the value is untouched",
     [](ground* g) -> task<> { co_await g->cross_full.send(g->given); },
     [](ground& g) {
       CHECK(g.given == 7);
       CHECK(g.cross_full.try_receive() == 0);
       g.core.settle();
       CHECK_FALSE(g.cross_full.try_receive());
     }},
    {"offload: what has not started does not start",
     [](ground* g) -> task<> {
       scope threads;
       const auto block = [](std::shared_future<void> f) -> task<> {
         auto work = offload([f] { f.wait(); });
         co_await work;
       };
       for (int i = 0; i < 4; ++i) threads.spawn(block(g->released));
       co_await yield();
       auto work = offload([g] { g->ran = true; });
       co_await work;
     },
     [](ground& g) {
       CHECK(g.core->offload_threads().queued() == 0);
       g.release.set_value();
       g.core->offload_threads().stop();
       CHECK_FALSE(g.ran);
     }},
    {"within: its work is cancelled and waited for",
     [](ground* g) -> task<> {
       auto work = within(1h, test::sleep_long(&g->living));
       co_await work;
     },
     [](ground& g) { CHECK(g.living == 0); }},
    {"scope.join: the tasks are cancelled and waited for",
     [](ground* g) -> task<> {
       scope s;
       s.spawn(test::sleep_long(&g->living));
       s.spawn(test::sleep_long(&g->living));
       co_await s.join();
     },
     [](ground& g) { CHECK(g.living == 0); }},
    {"when_all: the tasks are cancelled and waited for",
     [](ground* g) -> task<> {
       auto both = when_all(test::sleep_long(&g->living), test::sleep_long(&g->living));
       co_await both;
     },
     [](ground& g) { CHECK(g.living == 0); }},
    {"when_any: the tasks are cancelled and waited for",
     [](ground* g) -> task<> {
       auto both = when_any(test::sleep_long(&g->living), test::sleep_long(&g->living));
       co_await both;
     },
     [](ground& g) { CHECK(g.living == 0); }},
    {"use_task: the operation of Asio is cancelled",
     [](ground* g) -> task<> {
       auto wait = use_task(test::sleep_in_asio(g));
       co_await wait;
     },
     [](ground& g) { CHECK(g.living == 0); }},
};

}  // namespace

TEST_CASE("a deadline around each operation times out, and leaves what the operation promises") {
  for (const auto& op : operations) {
    INFO(op.name);
    ground g;
    std::error_code error;
    g.core->spawn(test::error_of(within(50ms, op.begin(&g)), &error));
    g.core.advance(49ms);
    CHECK_FALSE(error);
    g.core.advance(1ms);
    CHECK(error == std::errc::timed_out);
    op.remains(g);
  }
}

TEST_CASE("each operation that has timed out may be waited for again, and is destroyed while it waits") {
  for (const auto& wait : test::waits) {
    INFO(wait.name);
    test::nothing n;
    {
      test_core core(test::over_io_of_run());
      std::error_code error;
      core->spawn(test::error_of(within(50ms, wait.begin(&n)), &error));
      core.advance(50ms);
      CHECK(error == std::errc::timed_out);
      CHECK(n.living == 0);
      core->spawn(wait.begin(&n));
      core.settle();
      CHECK(n.living > 0);
      n.release.set_value();
    }
    CHECK(n.living == 0);
  }
}
