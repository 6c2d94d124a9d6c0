#include "weir/connection/connect.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "identity.hpp"
#include "loop.hpp"
#include "server/serving.hpp"

using namespace weir;
using Catch::Matchers::Contains;

namespace {

// Tells each client what it has asked for.
task<> tell(connection c) {
  const auto told = c.tls();
  const std::string name = told ? told->server_name : "no TLS";
  const std::string protocol = told ? told->alpn : "";
  const std::string line = name + " " + protocol + "\n";
  co_await c.send(line);
  while (auto data = co_await c.receive()) co_await c.send(data);
}

struct fixture {
  explicit fixture(const test::identity& shows, std::vector<std::string> alpn = {})
      : fixture(settings_with(shows, std::move(alpn))) {}
  explicit fixture(const settings& s)
      : server(test::over_io_of_run(s), tell), local("tls:127.0.0.1:" + std::to_string(server.at().port())) {}

  static settings settings_with(const test::identity& shows, std::vector<std::string> alpn) {
    settings s;
    s.listen = {"tls:127.0.0.1:0"};
    s.cores.pin = false;
    s.tls.certificate = {shows.certificate};
    s.tls.key = {shows.key};
    s.tls.alpn = std::move(alpn);
    return s;
  }

  test::serving server;
  std::string local;
};

struct answer {
  std::string line;
  tls_info told;
  std::string back;  // of what was sent to be echoed
};

task<> ask(std::string address, const tls_client_options* how, answer* out) {
  auto c = co_await connect(address, *how);
  out->told = c.tls().value();
  while (!out->line.ends_with('\n')) {
    const auto data = co_await c.receive();
    if (!data) co_return;
    out->line += data.text();
  }
  // Both directions, in more records than one.
  const std::string text = test::pattern(100'000);
  out->back.resize(text.size());
  co_await c.send(text);
  const bool whole = co_await c.read_exactly(std::as_writable_bytes(std::span(out->back)));
  if (!whole) out->back.clear();
}

answer asked(const std::string& address, const tls_client_options& how) {
  test::loop l;
  answer out;
  l.run(ask(address, &how, &out));
  CHECK(out.back == test::pattern(100'000));
  return out;
}

std::string why_refused(const std::string& address, const tls_client_options& how) {
  try {
    static_cast<void>(asked(address, how));
  } catch (const std::system_error& e) {
    CHECK(e.code() == std::errc::protocol_error);
    return e.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a server whose authority is believed is spoken to, by its name and by its address") {
  const test::folder files;
  const test::identity shows(files, "shown", "DNS:shown.test,IP:127.0.0.1");
  fixture f(shows, {"two", "one"});
  tls_client_options how;
  how.ca = shows.certificate;
  SECTION("the name is asked for and verified, and a protocol is agreed on") {
    how.server_name = "shown.test";
    how.alpn = {"one", "two"};
    const answer got = asked(f.local, how);
    CHECK(got.line == "shown.test two\n");
    CHECK(got.told.alpn == "two");
    CHECK(got.told.version == "TLSv1.3");
    CHECK(got.told.verified);
    CHECK(got.told.peer_names == std::vector<std::string>{"shown.test", "127.0.0.1"});
  }
  SECTION("an address is verified, and no name is asked for") {
    const answer got = asked(f.local, how);
    CHECK(got.line == " \n");
    CHECK(got.told.verified);
  }
  SECTION("localhost is a name") {
    how.server_name = "localhost";
    CHECK_THAT(why_refused(f.local, how), Contains("certificate verify failed"));
  }
}

TEST_CASE("a server that is not the one asked for is refused, unless whatever it shows is believed") {
  const test::folder files;
  const test::identity shows(files, "shown", "DNS:shown.test");
  const test::identity stranger(files, "stranger", "DNS:shown.test");
  fixture f(shows);
  tls_client_options how;
  how.server_name = "other.test";
  how.ca = shows.certificate;
  CHECK_THAT(why_refused(f.local, how), Contains("certificate verify failed") && Contains(f.local));
  how.server_name = "shown.test";
  how.ca = stranger.certificate;
  CHECK_THAT(why_refused(f.local, how), Contains("certificate verify failed"));
  how.ca.clear();  // the system's
  CHECK_THAT(why_refused(f.local, how), Contains("certificate verify failed"));
  how.verify = false;
  const answer got = asked(f.local, how);
  CHECK(got.line == "shown.test \n");
  CHECK_FALSE(got.told.verified);
}

TEST_CASE("authorities that cannot be read, and a peer that speaks no TLS, are errors that say so") {
  const test::folder files;
  const test::identity shows(files, "shown", "DNS:shown.test");
  fixture f(shows);
  tls_client_options how;
  how.ca = files.path + "/nowhere.crt";
  test::loop l;
  answer out;
  CHECK_THROWS_WITH(l.run(ask(f.local, &how, &out)), Contains("nowhere.crt"));
  settings plain;
  plain.listen = {"127.0.0.1:0"};
  plain.cores.pin = false;
  test::serving other(plain, tell);
  CHECK_THAT(why_refused("tls:" + other.at().to_string(), {}), Contains("wrong version number"));
}

TEST_CASE("handshakes on threads of the offload pool run beside each other, by any name") {
  const test::folder files;
  const test::identity first(files, "first", "DNS:first.test");
  const test::identity second(files, "second", "DNS:second.test");
  settings s = fixture::settings_with(first, {"one"});
  s.tls.certificate.push_back(second.certificate);
  s.tls.key.push_back(second.key);
  s.tls.offload_keys = true;
  s.tls.key_log = files.path + "/secrets";
  s.model = model_kind::single_loop;
  s.workers.count = 3;
  fixture f(s);
  std::atomic<int> right{0};
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < 4; ++i)
      clients.emplace_back([&, i] {
        test::loop l;
        for (int k = 0; k < 8; ++k) {
          const test::identity& its = (i + k) % 2 == 0 ? first : second;
          tls_client_options how;
          how.ca = its.certificate;
          how.server_name = (i + k) % 2 == 0 ? "first.test" : "second.test";
          how.alpn = {"one"};
          answer got;
          l.run(ask(f.local, &how, &got));
          if (got.line == how.server_name + " one\n" && got.told.verified && !got.back.empty()) ++right;
        }
      });
  }
  CHECK(right == 32);
}
