// Certificates and keys out of the text of their files.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <new>

#include "key_files.hpp"

namespace weir::tls {

void openssl_free::operator()(bio_st* p) const noexcept { ::BIO_free_all(p); }
void openssl_free::operator()(evp_pkey_st* p) const noexcept { ::EVP_PKEY_free(p); }
void openssl_free::operator()(ssl_ctx_st* p) const noexcept { ::SSL_CTX_free(p); }
void openssl_free::operator()(ssl_st* p) const noexcept { ::SSL_free(p); }
void openssl_free::operator()(x509_st* p) const noexcept { ::X509_free(p); }

std::string last_reason() {
  const unsigned long code = ::ERR_peek_last_error();
  const char* const text = code == 0 ? nullptr : ::ERR_reason_error_string(code);
  std::string out = text != nullptr ? text : code == 0 ? "" : fmt::format("error {:x}", code);
  ::ERR_clear_error();
  return out;
}

bio bio_of(std::string_view text) {
  bio out(::BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (!out) throw std::bad_alloc();
  return out;
}

namespace {

using problem = tls_support::problem;

// A key that needs a passphrase is refused: no terminal is asked.
int no_passphrase(char*, int, int, void*) { return -1; }

std::vector<certificate> certificates_in(const std::string& text) {
  std::vector<certificate> out;
  const bio in = bio_of(text);
  for (;;) {
    certificate next(::PEM_read_bio_X509(in.get(), nullptr, &no_passphrase, nullptr));
    if (!next) break;
    out.push_back(std::move(next));
  }
  // The end of the text is one as well.
  if (!out.empty() && ERR_GET_REASON(::ERR_peek_last_error()) == PEM_R_NO_START_LINE) ::ERR_clear_error();
  return out;
}

std::string text_of(const ASN1_STRING* s) {
  return {reinterpret_cast<const char*>(::ASN1_STRING_get0_data(s)),
          static_cast<std::size_t>(::ASN1_STRING_length(s))};
}

std::string small(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

std::string day_of(const ASN1_TIME* t) {
  std::tm parts{};
  if (::ASN1_TIME_to_tm(t, &parts) != 1) return "?";
  return fmt::format("{:04}-{:02}-{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

std::string address_text(const ASN1_OCTET_STRING* bytes) {
  char text[INET6_ADDRSTRLEN] = "";
  const int size = ::ASN1_STRING_length(bytes);
  if (size == 4 || size == 16)
    ::inet_ntop(size == 4 ? AF_INET : AF_INET6, ::ASN1_STRING_get0_data(bytes), text, sizeof text);
  return text;
}

}  // namespace

std::vector<std::string> names_of(const x509_st& c) {
  std::vector<std::string> out;
  auto* const all =
      static_cast<GENERAL_NAMES*>(::X509_get_ext_d2i(&c, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(all); ++i) {
    const GENERAL_NAME* const each = sk_GENERAL_NAME_value(all, i);
    if (each->type == GEN_DNS)
      out.push_back(small(text_of(each->d.dNSName)));
    else if (each->type == GEN_IPADD)
      out.push_back(address_text(each->d.iPAddress));
    else if (each->type == GEN_EMAIL)
      out.push_back(text_of(each->d.rfc822Name));
  }
  ::GENERAL_NAMES_free(all);
  if (!out.empty()) return out;
  X509_NAME* const subject = ::X509_get_subject_name(&c);
  const int at = ::X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) out.push_back(small(text_of(::X509_NAME_ENTRY_get_data(::X509_NAME_get_entry(subject, at)))));
  return out;
}

std::string subject_of(const x509_st& c) {
  const bio out(::BIO_new(::BIO_s_mem()));
  if (!out) throw std::bad_alloc();
  ::X509_NAME_print_ex(out.get(), ::X509_get_subject_name(&c), 0, XN_FLAG_RFC2253);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(std::max(size, 0L))};
}

std::vector<usable_certificate> parse(const settings& s, const key_files& files,
                                      std::vector<problem>& problems) {
  std::vector<usable_certificate> out;
  ::ERR_clear_error();
  for (std::size_t i = 0; i < files.all.size(); ++i) {
    const certificate_files& each = files.all[i];
    if (each.chain.empty() || each.key.empty()) continue;  // it could not be read
    usable_certificate made;
    made.chain = certificates_in(each.chain);
    if (::ERR_peek_error() != 0 || made.chain.empty()) {
      problems.push_back({"tls.certificate", fmt::format("\"{}\" holds no PEM certificate: {}",
                                                         each.certificate, last_reason())});
      continue;
    }
    made.key.reset(::PEM_read_bio_PrivateKey(bio_of(each.key).get(), nullptr, &no_passphrase, nullptr));
    if (!made.key) {
      problems.push_back({"tls.key", fmt::format("\"{}\" holds no PEM key without a passphrase: {}",
                                                 s.tls.key[i], last_reason())});
      continue;
    }
    if (::X509_check_private_key(made.chain.front().get(), made.key.get()) != 1) {
      problems.push_back({"tls.key", fmt::format("\"{}\" does not fit the certificate \"{}\": {}",
                                                 s.tls.key[i], each.certificate, last_reason())});
      continue;
    }
    const x509_st& own = *made.chain.front();
    made.names = names_of(own);
    made.until = day_of(::X509_get0_notAfter(&own));
    if (::X509_cmp_current_time(::X509_get0_notAfter(&own)) < 0)
      made.warning = fmt::format("\"{}\" has expired on {}", each.certificate, made.until);
    else if (::X509_cmp_current_time(::X509_get0_notBefore(&own)) > 0)
      made.warning =
          fmt::format("\"{}\" is not valid before {}", each.certificate, day_of(::X509_get0_notBefore(&own)));
    if (!made.warning.empty()) problems.push_back({"tls.certificate", made.warning, true});
    out.push_back(std::move(made));
  }
  return out;
}

}  // namespace weir::tls
