// A TCP proxy: every connection is joined to one of its own to the upstream, half-close passes in both
// directions, and a pair holds at most a chunk of bytes each way. At a stop a client that has its answer, or
// has sent nothing, gets no further: FIN to the upstream, which ends what it still sends. What a client has
// sent and nothing has answered may be a part of something: it goes on, until the stop's time is over and it
// is cut with RST, so that it does not look complete.
//
// With --send-proxy the client is named to the upstream, by a header of the PROXY protocol.
//
//   proxy --upstream 127.0.0.1:7000 --listen 127.0.0.1:7001 [--send-proxy v1|v2]
#include "join.hpp"

using namespace std::chrono_literals;

namespace {

std::string upstream = "127.0.0.1:7000";
std::string send_proxy;  // "v1", "v2", or nothing

weir::task<> proxy(weir::connection client) {
  weir::connection server = co_await weir::within(5s, weir::connect(upstream));
  co_await join(std::move(client), std::move(server), send_proxy);
}

std::string mistake_in_version(const std::string& text) {
  return text.empty() || text == "v1" || text == "v2" ? "" : "is none of: v1, v2, and nothing";
}

}  // namespace

int main(int argc, char** argv) {
  const weir::program about{
      .summary = "a TCP proxy with half-close in both directions",
      .keys =
          {weir::key("upstream.address", upstream, "where connections go").with_flag("--upstream", "ADDRESS"),
           weir::key("upstream.send_proxy", send_proxy,
                     "name the client to it, by a header of the PROXY protocol: v1 or v2; empty: do not")
               .with_flag("--send-proxy", "VERSION")
               .checked_by(mistake_in_version)},
  };
  return weir::run(argc, argv, proxy, about);
}
