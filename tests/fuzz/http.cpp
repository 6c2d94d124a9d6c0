// Whatever a client sends: the parsers agree with themselves however the bytes come, and a server neither
// crashes, hangs nor answers what was not asked.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "weir/connection/connection_pair.hpp"
#include "weir/core/test_core.hpp"
#include "weir/http/detail/chunk_decoder.hpp"
#include "weir/http/detail/conditions.hpp"
#include "weir/http/detail/date.hpp"
#include "weir/http/detail/path.hpp"
#include "weir/http/detail/request_parser.hpp"
#include "weir/http/form.hpp"
#include "weir/http/site.hpp"

namespace {

using namespace weir::http;

void require(bool fact) {
  if (!fact) std::abort();
}

// Of the first request. Which of two mistakes is found first may depend on how the bytes come.
struct outcome {
  request_parser::state state = request_parser::state::incomplete;
  std::size_t size = 0;
  bool operator==(const outcome&) const = default;
};

outcome parse(std::string_view bytes, std::size_t step) {
  const limits ordinary;
  request_parser parser;
  request r;
  for (std::size_t have = 0; have < bytes.size();) {
    have = std::min(bytes.size(), have + step);
    const std::string here(bytes.substr(0, have));  // where reading too far is noticed
    const auto s = parser.parse(here, ordinary, r);
    if (s == request_parser::state::failed) return {s, 0};
    if (s == request_parser::state::incomplete) continue;
    // Everything that a handler may ask for lies in the head.
    for (std::size_t i = 0; i < r.size(); ++i) require(r[i].name.size() + r[i].value.size() < parser.size());
    require(r.path().starts_with('/') || r.path() == "*");
    static_cast<void>(file_path(r.path()));
    for (const std::uint64_t size : {std::uint64_t(0), std::uint64_t(1), std::uint64_t(100)})
      for (const byte_range part : ranges_of(r, {"\"v\"", 0}, size).parts)
        require(part.size != 0 && part.first < size && part.size <= size - part.first);
    const form fields(r.query());
    for (std::size_t i = 0; i < fields.size(); ++i) require(fields.find(fields[i].first).has_value());
    static_cast<void>(percent_decoded(r.path()));
    for (std::size_t i = 0; i < r.size(); ++i) {
      static_cast<void>(cookie_value(r[i].value, "a"));
      static_cast<void>(parse_date(r[i].value));
    }
    static_cast<void>(condition_of(r, {"\"v\"", 0}));
    static_cast<void>(accepts_gzip(r));
    return {s, parser.size()};
  }
  return {};
}

std::string decode(std::string_view bytes, std::size_t step) {
  chunk_decoder decoder;
  std::string data;
  for (std::size_t have = 0, taken = 0; have < bytes.size();) {
    have = std::min(bytes.size(), have + step);
    while (taken < have) {
      const auto piece = decoder.take(bytes.substr(taken, have - taken));
      require(piece.consumed != 0);
      taken += piece.consumed;
      data += piece.data;
      if (piece.state == chunk_decoder::state::failed) return "failed";
      if (piece.state == chunk_decoder::state::done) return data + "|done";
    }
  }
  return data;
}

weir::task<> echo(exchange x) {
  const std::string_view body = co_await x.body();
  std::string all(body);
  const request& r = x.request();  // which is where it was
  for (std::size_t i = 0; i < r.size(); ++i) all.append(r[i].name).append(r[i].value);
  x.send(200, "text/plain", all.append(r.path()).append(r.query()));
}

weir::task<> copy(exchange x) {
  x.start(200, "text/plain");
  for (;;) {
    const std::string_view piece = co_await x.read();
    if (piece.empty()) break;
    co_await x.write(piece);
  }
}

weir::task<> fill_in(exchange x) {
  const auto fields = co_await x.form();
  x.send(200, "text/plain",
         std::string(fields.find("a").value_or("-")) + std::string(x.cookie("a").value_or("-")));
}

weir::task<> take_over(exchange x) {
  upgraded up = co_await x.upgrade("echo");
  co_await up.client.send(up.received);
  while (auto data = co_await up.client.receive()) co_await up.client.send(data);
}

weir::task<> speak(weir::connection client, std::string_view bytes, std::size_t step) {
  while (!bytes.empty()) {
    const bool sent = co_await client.send(bytes.substr(0, step));
    if (!sent) break;
    bytes.remove_prefix(std::min(step, bytes.size()));
  }
  client.shutdown_send();
  for (;;) {
    const auto data = co_await client.receive();
    if (!data) break;
  }
}

void serve_it(std::string_view bytes, std::size_t step) {
  site s;
  s.limits.body = 4096;
  s.routes.any("/e", echo);
  s.routes.any("/c", copy);
  s.routes.any("/p/{a}/{b}",
               [](exchange x) { x.send(200, "text/plain", x.parameter("a") + x.parameter("b")); });
  s.routes.any("/f", fill_in);
  s.routes.any("/u", take_over);
  s.on_finished = [](const finished& f) { require(f.status == 0 || (f.status >= 101 && f.status <= 999)); };
  s.routes.any("/*", [](exchange x) { x.send(200, "text/plain", "x"); });
  weir::test_core core;
  weir::connection_pair ends(*core);
  core->spawn(s.handler()(std::move(ends.server)));
  core->spawn(speak(std::move(ends.client), bytes, step));
  core.settle();
  core.advance(std::chrono::seconds(30));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  weir::log::set_level(weir::log::level::off);
  const std::size_t step = 1 + data[0] % 64;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  require(parse(bytes, bytes.size() + 1) == parse(bytes, step));
  const std::string whole = decode(bytes, bytes.size() + 1);
  require(whole == decode(bytes, step));
  serve_it(bytes, step);
  return 0;
}
