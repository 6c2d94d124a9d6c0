#include "weir/workers/detail/connection_threads.hpp"

#include <catch2/catch.hpp>

#include <future>
#include <string>
#include <thread>

#include "server/serving.hpp"
#include "weir/connection/reader.hpp"
#include "weir/connection/writer.hpp"

using namespace weir;
using namespace std::chrono_literals;

namespace {

settings blocking(model_kind model, std::chrono::milliseconds idle) {
  settings s;
  s.listen = {"127.0.0.1:0"};
  s.cores.pin = false;
  s.model = model;
  s.limits.idle_timeout = idle;
  return s;
}

const std::string& much() {
  static const std::string text = test::pattern(32 << 20);
  return text;
}

task<> answer_much(connection c) {
  writer out(c);
  reader in(c, out);
  while (const auto line = co_await in.until("\n")) out.write(much());
}

}  // namespace

TEST_CASE("where a handler blocks, a peer that reads slowly is not idle, from the first byte on") {
  for (const auto model : {model_kind::serial, model_kind::thread_per_connection}) {
    CAPTURE(static_cast<int>(model));
    test::serving server(blocking(model, 2s), answer_much);
    test::client client(server.at());
    REQUIRE(client.send("all\n"));
    // Reads for longer than the idle timeout, with pauses that are much shorter.
    const auto end = std::chrono::steady_clock::now() + 4s;
    std::string got;
    while (std::chrono::steady_clock::now() < end && got.size() < much().size()) {
      const std::string part = client.receive(64 << 10);
      if (part.empty()) break;
      got += part;
      std::this_thread::sleep_for(10ms);  // the slow peer
    }
    got += client.receive(much().size() - got.size());
    CHECK(got == much());
  }
}

TEST_CASE("where a handler blocks, a peer that does not read is cut, and the answer ends with a reset") {
  for (const auto model : {model_kind::serial, model_kind::thread_per_connection}) {
    CAPTURE(static_cast<int>(model));
    std::promise<void> ended;
    const auto tell_end = [](connection c, std::promise<void>* told) -> task<> {
      co_await answer_much(std::move(c));
      told->set_value();
    };
    test::serving server(blocking(model, 300ms),
                         [&](connection c) { return tell_end(std::move(c), &ended); });
    test::client client(server.at());
    REQUIRE(client.send("all\n"));
    ended.get_future().wait();
    const std::string got = client.receive(much().size());
    CHECK(got.size() < much().size());
    CHECK(client.error() == ECONNRESET);
  }
}
