#include "client.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <cerrno>
#include <map>
#include <mutex>
#include <new>
#include <utility>

#include "tls_layer.hpp"
#include "weir/base/error.hpp"

namespace weir::tls {
namespace {

// Authorities are read once: there are hundreds in the system's store.
std::shared_ptr<ssl_ctx_st> context_with(const std::string& ca) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<ssl_ctx_st>, std::less<>> all;
  const std::lock_guard lock(mutex);
  std::shared_ptr<ssl_ctx_st>& out = all[ca];
  if (out) return out;
  ::ERR_clear_error();
  context made(::SSL_CTX_new(::TLS_client_method()));
  if (!made) throw std::bad_alloc();
  SSL_CTX_set_min_proto_version(made.get(), TLS1_2_VERSION);
  ::SSL_CTX_set_options(made.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  set_modes(made.get());
  const int read = ca.empty() ? ::SSL_CTX_set_default_verify_paths(made.get())
                              : ::SSL_CTX_load_verify_file(made.get(), ca.c_str());
  if (read != 1)
    throw_system_error(EINVAL, "authorities of " + (ca.empty() ? "the system" : ca) + ": " + last_reason());
  out = std::move(made);
  return out;
}

bool is_address(const std::string& name) {
  unsigned char ignored[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, name.c_str(), ignored) == 1 ||
         ::inet_pton(AF_INET6, name.c_str(), ignored) == 1;
}

}  // namespace

std::unique_ptr<stream_layer> make_client_layer(const tls_client_options& how, const std::string& name) {
  std::string alpn;
  for (const std::string& each : how.alpn) {
    alpn.push_back(static_cast<char>(each.size()));
    alpn.append(each);
  }
  const auto with = context_with(how.ca);
  auto out = tls_layer::connect(*with, with);
  SSL* const ssl = &out->ssl();
  if (!alpn.empty())
    ::SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(alpn.data()),
                          static_cast<unsigned>(alpn.size()));
  if (is_address(name)) {
    ::X509_VERIFY_PARAM_set1_ip_asc(::SSL_get0_param(ssl), name.c_str());
  } else {
    SSL_set_tlsext_host_name(ssl, name.c_str());
    ::SSL_set1_host(ssl, name.c_str());
  }
  ::SSL_set_verify(ssl, how.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  return out;
}

}  // namespace weir::tls
