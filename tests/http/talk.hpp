#pragma once
// tests: a client and a site at both ends of a pair, in virtual time.

#include <catch2/catch.hpp>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "weir/connection/connection_pair.hpp"
#include "weir/core/test_core.hpp"
#include "weir/http/site.hpp"

namespace test {

using namespace std::chrono_literals;
using weir::http::exchange;

class talk {
 public:
  explicit talk(const weir::http::site& what) : talk(what.handler()) {}
  explicit talk(const std::function<weir::task<>(weir::connection)>& handler) {
    begin(handler(std::move(ends_.server)));
  }

  // What has been answered since the last time. Dates are replaced.
  std::string say(const std::string& bytes) {
    core_->spawn(tell(&ends_.client, bytes));
    core_.settle();
    return heard();
  }
  // Each byte on its own.
  std::string say_slowly(const std::string& bytes) {
    std::string out;
    for (const char c : bytes) out += say(std::string(1, c));
    return out;
  }
  // The client says nothing more.
  std::string finish() {
    ends_.client.shutdown_send();
    core_.settle();
    return heard();
  }
  std::string wait(std::chrono::milliseconds d) {
    core_.advance(d);
    return heard();
  }
  // The server has ended the connection, for the client's reading at least.
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] weir::ending how() const { return ends_.client.end(); }
  [[nodiscard]] weir::test_core& core() { return core_; }
  // Until now, dates and all.
  [[nodiscard]] const std::string& all() const { return all_; }
  void close() {
    ends_.client.close();
    core_.settle();
  }

 private:
  void begin(weir::task<> served) {
    core_->spawn(std::move(served));
    core_->spawn(listen(&ends_.client, this));
    core_.settle();
  }
  static weir::task<> tell(weir::connection* to, std::string bytes) { co_await to->send(bytes); }
  static weir::task<> listen(weir::connection* from, talk* self) {
    for (;;) {
      const auto data = co_await from->receive();
      if (!data) break;
      self->heard_ += data.text();
      self->all_ += data.text();
    }
    self->ended_ = true;
  }
  std::string heard() {
    std::string out = std::exchange(heard_, {});
    for (std::size_t at = 0; (at = out.find("\r\nDate: ", at)) != out.npos;)
      out.erase(at, out.find("\r\n", at + 2) - at);
    return out;
  }

  weir::test_core core_;
  weir::connection_pair ends_{*core_};
  std::string heard_;
  std::string all_;
  bool ended_ = false;
};

// The status lines of all answers in a text.
inline std::vector<int> statuses(const std::string& text) {
  std::vector<int> out;
  for (std::size_t at = 0; (at = text.find("HTTP/1.1 ", at)) != text.npos; at += 9)
    out.push_back(std::stoi(text.substr(at + 9, 3)));
  return out;
}

inline const std::string get = "GET /plain HTTP/1.1\r\nHost: a\r\n\r\n";
inline const std::string plain_answer =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

inline void add_routes(weir::http::site& s) {
  static const weir::http::fixed_response fixed(200, "text/plain", "hello");
  s.routes.get("/plain", [](exchange x) { x.send(fixed); });
  s.routes.get("/made", [](exchange x) { x.send(200, "text/plain", "hello"); });
  s.routes.any("/echo", [](exchange x) -> weir::task<> {
    const std::string_view body = co_await x.body();
    x.send(200, "text/plain", body);
  });
  s.routes.any("/ignore", [](exchange x) { x.send(200, "text/plain", "ignored"); });
}

struct sample_site : weir::http::site {
  sample_site() { add_routes(*this); }
};

}  // namespace test
