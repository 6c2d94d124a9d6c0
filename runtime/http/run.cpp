#include "weir/http/run.hpp"

#include <chrono>

#include "weir/server/run.hpp"

namespace weir::http {

namespace {

void add_keys(limits& l, std::vector<key>& to) {
  using namespace std::chrono_literals;
  constexpr std::int64_t kib = 1024;
  constexpr std::int64_t most_body = kib * kib * kib * kib;
  to.push_back(
      key::size("http.head", l.head, 256, limits::most_head, "bytes of a request line and all headers"));
  to.push_back(key("http.headers", l.headers, 1, limits::most_headers, "headers", "headers of a request"));
  to.push_back(key::size("http.body", l.body, 0, most_body, "bytes of a request's body"));
  to.push_back(
      key("http.head_timeout", l.head_timeout, 1ms, 24h, "from the first byte of a head to its last"));
  to.push_back(
      key("http.body_timeout", l.body_timeout, 1ms, 24h, "refuse a body of which no byte comes for so long"));
  to.push_back(key::size("http.body_rate", l.body_rate, 0, kib * kib * kib,
                         "refuse a body that comes slower, in bytes per second on average; 0: at any rate"));
  to.push_back(key("http.body_grace", l.body_grace, 0ms, 24h, "time that a body has before its rate counts"));
  to.push_back(key("http.linger_timeout", l.linger_timeout, 0ms, 24h,
                   "how long what a client still sends after the last answer is read"));
  to.push_back(key::size("http.unread", l.unread, 0, most_body,
                         "bytes of a body that no handler wants, read to keep the connection"));
}

}  // namespace

int run(int argc, char** argv, site what, program about) {
  const auto kept = std::make_shared<site>(std::move(what));  // the keys change its limits before it serves
  add_keys(kept->limits, about.keys);
  const auto on_each = [kept](connection client) { return serve(std::move(client), kept); };
  return weir::run(argc, argv, connection_handler(on_each), about);
}

}  // namespace weir::http
