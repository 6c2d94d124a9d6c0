#pragma once
// tls: owners of OpenSSL's objects. Its headers are included by source files only.

#include <memory>
#include <string>
#include <string_view>

struct bio_st;
struct evp_pkey_st;
struct ssl_ctx_st;
struct ssl_st;
struct x509_st;

namespace weir::tls {

struct openssl_free {
  void operator()(bio_st* p) const noexcept;
  void operator()(evp_pkey_st* p) const noexcept;
  void operator()(ssl_ctx_st* p) const noexcept;
  void operator()(ssl_st* p) const noexcept;
  void operator()(x509_st* p) const noexcept;
};

using bio = std::unique_ptr<bio_st, openssl_free>;
using private_key = std::unique_ptr<evp_pkey_st, openssl_free>;
using context = std::unique_ptr<ssl_ctx_st, openssl_free>;
using session = std::unique_ptr<ssl_st, openssl_free>;
using certificate = std::unique_ptr<x509_st, openssl_free>;

// Text of OpenSSL's last error on this thread, whose queue is empty then. Errors: std::bad_alloc.
[[nodiscard]] std::string last_reason();

// For reading. Errors: std::bad_alloc.
[[nodiscard]] bio bio_of(std::string_view text);

}  // namespace weir::tls
