// A server and a client of weir's own: what both learn of each other, and what a client does not believe.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "loop.hpp"
#include "server/serving.hpp"
#include "weir/connection/connect.hpp"

using namespace weir;
using Catch::Matchers::Contains;

namespace {

// A certificate for localhost that signs itself.
struct identity {
  identity() {
    const std::string make =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost -keyout " +
        key() + " -out " + certificate() + " 2>/dev/null";
    REQUIRE(std::system(make.c_str()) == 0);
  }
  identity(const identity&) = delete;
  identity& operator=(const identity&) = delete;
  ~identity() { std::filesystem::remove_all(folder); }
  [[nodiscard]] std::string certificate() const { return folder / "own.crt"; }
  [[nodiscard]] std::string key() const { return folder / "own.key"; }

  std::filesystem::path folder = [] {
    std::string name = std::filesystem::temp_directory_path() / "weir-tls-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    return std::filesystem::path(name);
  }();
};

settings with(const identity& own) {
  settings s;
  s.listen = {"tls:127.0.0.1:0"};
  s.model = model_kind::single_loop;
  s.cores.pin = false;
  s.tls.certificate = {own.certificate()};
  s.tls.key = {own.key()};
  s.tls.alpn = {"b", "a"};
  return s;
}

tls_client_options offering(std::vector<std::string> protocols, std::string ca) {
  tls_client_options how;
  how.alpn = std::move(protocols);
  how.ca = std::move(ca);
  how.verify = !how.ca.empty();
  return how;
}

// Says what it has learned.
task<> teller(connection client) {
  const chunk asked = co_await client.receive();
  const std::optional<tls_info> agreed = client.tls();
  const std::string answer =
      agreed ? agreed->server_name + " " + agreed->alpn + " " + agreed->version : "none";
  co_await client.send(answer);
}

struct outcome {
  std::string answer;
  std::string error;
  tls_info agreed;
};

task<> ask(std::string address, tls_client_options how, outcome& into) {
  try {
    connection server = co_await connect(address, how);
    into.agreed = server.tls().value();
    co_await server.send("who?");
    while (const chunk part = co_await server.receive()) into.answer += part.text();
    if (server.end() != ending::peer_closed) into.error = "no clean end";
  } catch (const std::exception& e) {
    into.error = e.what();
  }
}

outcome asked(const endpoint& at, const std::string& host, const tls_client_options& how) {
  outcome out;
  test::loop l;
  l.run(ask("tls:" + host + ":" + std::to_string(at.port()), how, out));
  return out;
}

}  // namespace

TEST_CASE("a name is resolved, its certificate verified, and both sides know what was agreed on") {
  const identity own;
  const test::serving server(with(own), teller);
  const outcome got = asked(server.at(), "localhost", offering({"a", "b"}, own.certificate()));
  CHECK(got.error == "");
  CHECK(got.answer == "localhost b TLSv1.3");
  CHECK(got.agreed.alpn == "b");
  CHECK(got.agreed.version == "TLSv1.3");
  CHECK(got.agreed.verified);
  CHECK_FALSE(got.agreed.resumed);
  CHECK(got.agreed.peer_subject == "CN=localhost");
  CHECK(got.agreed.peer_names == std::vector<std::string>{"localhost"});
}

TEST_CASE("a certificate of another name, or of an authority that is not believed, ends the connection") {
  const identity own;
  const test::serving server(with(own), teller);
  tls_client_options how;  // the system's authorities
  CHECK_THAT(asked(server.at(), "localhost", how).error, Contains("certificate verify failed"));
  how.ca = own.certificate();
  CHECK_THAT(asked(server.at(), "127.0.0.1", how).error, Contains("certificate verify failed"));
  how.server_name = "localhost";
  CHECK(asked(server.at(), "127.0.0.1", how).error.empty());
  CHECK(asked(server.at(), "127.0.0.1", offering({"a"}, "")).answer == " a TLSv1.3");
  CHECK_THAT(asked(server.at(), "localhost", offering({"c"}, "")).error, Contains("no application protocol"));
}
