// A TCP proxy: every connection is joined to one of its own to the upstream, half-close passes in both
// directions, and a pair holds at most a chunk of bytes each way. A stop ends no stream: what a client was
// sending must not look complete to the upstream. So pairs go on until they end, or until the stop's grace
// does and cuts them with RST.
//
//   proxy --upstream 127.0.0.1:7000 --listen 127.0.0.1:7001
#include <weir/weir.hpp>

using namespace std::chrono_literals;

namespace {

std::string upstream = "127.0.0.1:7000";

// An orderly end is passed on as FIN, anything else as RST, so that a broken stream does not look complete:
// also where a coroutine is not resumed any more.
class passed_on {
 public:
  explicit passed_on(weir::connection& to) noexcept : to_(to) {}
  passed_on(const passed_on&) = delete;
  passed_on& operator=(const passed_on&) = delete;
  ~passed_on() {
    if (!is_whole_) to_.abort();
  }
  void end() noexcept {
    is_whole_ = true;
    to_.shutdown_send();
  }

 private:
  weir::connection& to_;
  bool is_whole_ = false;
};

// Copies until `from` ends, and passes the end on to `to`. What was read is sent before more is read.
weir::task<> copy(weir::connection* from, weir::connection* to) {
  passed_on stream(*to);
  weir::reader in(*from);
  in.set_inside_message(true);  // where messages end is not known: at a stop it waits for what follows
  for (;;) {
    const std::string_view data = co_await in.peek(1);
    if (data.empty()) break;
    const bool sent = co_await to->send(data);
    if (!sent) break;
    in.consume(data.size());
  }
  if (from->end() == weir::ending::peer_closed) stream.end();
}

weir::task<> proxy(weir::connection client) {
  weir::connection server = co_await weir::within(5s, weir::connect(weir::endpoint::parse(upstream)));
  weir::scope both;
  both.spawn(copy(&client, &server));
  both.spawn(copy(&server, &client));
  co_await both.join();
}

}  // namespace

int main(int argc, char** argv) {
  const weir::program about{
      .summary = "a TCP proxy with half-close in both directions",
      .options = "  --upstream ADDRESS    where connections go (127.0.0.1:7000)",
      .take = [](std::span<const std::string> rest) -> std::size_t {
        if (rest.size() < 2 || rest[0] != "--upstream") return 0;
        upstream = weir::endpoint::parse(rest[1]).to_string();
        return 2;
      },
  };
  return weir::run(argc, argv, proxy, about);
}
