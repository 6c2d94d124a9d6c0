#include <openssl/evp.h>
#include <openssl/x509.h>

#include <catch2/catch.hpp>

#include <asio/ssl.hpp>
#include <asio/ssl/impl/src.hpp>
#include <memory>
#include <string>

#include "loop.hpp"
#include "weir/task/scope.hpp"
#include "weir/task/use_task.hpp"

using namespace weir;

namespace {

using stream = asio::ssl::stream<asio::ip::tcp::socket>;

// A key and a certificate for it, made on the spot and signed by itself.
struct identity {
  identity() {
    X509_set_version(certificate.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME* const name = X509_get_subject_name(certificate.get());
    const auto* const host = reinterpret_cast<const unsigned char*>("localhost");
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, host, -1, -1, 0);
    X509_set_issuer_name(certificate.get(), name);
    REQUIRE(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0);
  }
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key{EVP_EC_gen("P-256"), &EVP_PKEY_free};
  std::unique_ptr<X509, decltype(&X509_free)> certificate{X509_new(), &X509_free};
};

task<> echo_over_tls(asio::ip::tcp::acceptor* acceptor, asio::ssl::context* tls) {
  auto accepted = acceptor->async_accept(use_task);
  auto socket = co_await accepted;
  stream peer(std::move(socket), *tls);
  auto handshake = peer.async_handshake(asio::ssl::stream_base::server, use_task);
  co_await handshake;
  std::string data(100'000, '\0');
  auto read = asio::async_read(peer, asio::buffer(data), use_task);
  co_await read;
  auto written = asio::async_write(peer, asio::buffer(data), use_task);
  co_await written;
  auto shutdown = peer.async_shutdown(use_task);
  co_await shutdown;
}

task<> ask_over_tls(asio::io_context* context, asio::ip::tcp::endpoint to, asio::ssl::context* tls) {
  stream peer(*context, *tls);
  peer.set_verify_callback(asio::ssl::host_name_verification("localhost"));
  auto connected = peer.next_layer().async_connect(to, use_task);
  co_await connected;
  auto handshake = peer.async_handshake(asio::ssl::stream_base::client, use_task);
  co_await handshake;
  const std::string question = test::pattern(100'000);
  auto written = asio::async_write(peer, asio::buffer(question), use_task);
  co_await written;
  std::string answer(question.size(), '\0');
  auto read = asio::async_read(peer, asio::buffer(answer), use_task);
  co_await read;
  CHECK(answer == question);
  auto shutdown = peer.async_shutdown(use_task);
  co_await shutdown;
}

task<> echo(connection* c) {
  while (auto data = co_await c->receive()) co_await c->send(data);
}

task<> talk(connection* c, const scope* as_long_as, int* rounds) {
  for (; as_long_as->running() > 0; ++*rounds) {
    co_await c->send("ping");
    const auto answer = co_await c->receive();
    CHECK(answer.text() == "ping");
  }
  c->shutdown_send();
}

}  // namespace

TEST_CASE("TLS streams of Asio run beside weir connections on a core") {
  const identity self;
  asio::ssl::context server(asio::ssl::context::tls_server);
  REQUIRE(SSL_CTX_use_certificate(server.native_handle(), self.certificate.get()) == 1);
  REQUIRE(SSL_CTX_use_PrivateKey(server.native_handle(), self.key.get()) == 1);
  asio::ssl::context client(asio::ssl::context::tls_client);
  client.set_verify_mode(asio::ssl::verify_peer);
  REQUIRE(X509_STORE_add_cert(SSL_CTX_get_cert_store(client.native_handle()), self.certificate.get()) == 1);

  test::loop l;
  test::whole ends(l);
  int rounds = 0;
  const auto both = [](asio::io_context* context, asio::ssl::context* s, asio::ssl::context* c, connection* b,
                       int* count) -> task<> {
    asio::ip::tcp::acceptor acceptor(*context, {asio::ip::address_v4::loopback(), 0});
    scope tls;
    tls.spawn(echo_over_tls(&acceptor, s));
    tls.spawn(ask_over_tls(context, acceptor.local_endpoint(), c));
    auto beside = talk(b, &tls, count);
    co_await beside;
    co_await tls.join();
  };
  l.run(echo(&ends.a), both(&l.core().context(), &server, &client, &ends.b, &rounds));
  CHECK(rounds > 0);
}
