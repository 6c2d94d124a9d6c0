#include "join.hpp"

#include <weir/connection/proxy_header.hpp>
#include <weir/weir.hpp>

namespace {

// Before anything of the client's. False: the upstream is gone.
weir::task<bool> introduce(weir::connection* client, weir::connection* server, std::string_view send_proxy) {
  if (send_proxy.empty()) co_return true;
  const auto version = send_proxy == "v1" ? weir::proxy_version::v1 : weir::proxy_version::v2;
  const std::string header = weir::write_proxy_header(version, client->peer(), client->local());
  const bool sent = co_await server->send(header);
  co_return sent;
}

// Both connections, and whether the client has sent what nothing has come back for.
struct joined {
  weir::connection& client;
  weir::connection& server;
  bool is_unanswered = false;
  bool is_stopped = false;
  weir::event answered{};  // something has come back, or nothing will
};

// Passes the end of a stream on: an orderly one as FIN, anything else as RST, so that a broken stream does
// not look complete; also where a coroutine is not resumed any more.
class passed_on {
 public:
  explicit passed_on(weir::connection& to) noexcept : to_(to) {}
  passed_on(const passed_on&) = delete;
  passed_on& operator=(const passed_on&) = delete;
  ~passed_on() {
    if (!is_whole_) to_.abort();
  }
  void end() noexcept {
    if (!is_whole_) to_.shutdown_send();
    is_whole_ = true;
  }

 private:
  weir::connection& to_;
  bool is_whole_ = false;
};

// What was read is sent before more is read.
weir::task<> copy_to_server(joined* both) {
  passed_on stream(both->server);
  weir::reader in(both->client);
  in.set_inside_message(true);  // a stop does not end it
  try {
    for (;;) {
      const std::string_view data = co_await in.peek(1);
      if (data.empty()) break;
      both->is_unanswered = true;
      const bool sent = co_await both->server.send(data);
      if (!sent) break;
      in.consume(data.size());
    }
  } catch (const std::system_error& e) {
    if (!both->is_stopped || e.code() != std::errc::operation_canceled) throw;
    stream.end();
  }
  if (both->client.end() == weir::ending::peer_closed) stream.end();
}

weir::task<> copy_to_client(joined* both) {
  passed_on stream(both->client);
  while (auto data = co_await both->server.receive()) {
    both->is_unanswered = false;
    both->answered.set();
    const bool sent = co_await both->client.send(data);
    if (!sent) break;
  }
  if (both->server.end() == weir::ending::peer_closed) stream.end();
  both->is_unanswered = false;
  both->answered.set();
}

// At a stop, ends what the client sends as soon as it is answered.
weir::task<> stop(joined* both, weir::scope* sending) {
  co_await both->client.stopping();
  while (both->is_unanswered) {
    both->answered.reset();
    co_await both->answered.wait();
  }
  both->is_stopped = true;
  sending->cancel();
}

}  // namespace

weir::task<> join(weir::connection client, weir::connection server, std::string_view send_proxy) {
  const bool introduced = co_await introduce(&client, &server, send_proxy);
  if (!introduced) co_return client.abort();
  joined both{client, server};
  weir::scope sending;
  weir::scope others;
  weir::scope stopping;
  sending.spawn(copy_to_server(&both));
  others.spawn(copy_to_client(&both));
  stopping.spawn(stop(&both, &sending));
  co_await sending.join();
  co_await others.join();
  stopping.cancel();
  co_await stopping.join();
}
