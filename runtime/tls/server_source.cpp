#include "server_source.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <new>
#include <system_error>

#include "tls_layer.hpp"
#include "weir/base/log.hpp"

namespace weir::tls {
namespace {

using problem = tls_support::problem;

server_source& source_of(const SSL* ssl) noexcept {
  return *static_cast<server_source*>(SSL_CTX_get_app_data(::SSL_get_SSL_CTX(ssl)));
}

// OpenSSL calls these. Nothing may be thrown through it.
int choose_certificate(SSL* ssl, int*, void*) noexcept {
  try {
    const char* const name = ::SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
    ssl_ctx_st* const found = source_of(ssl).certificate_for(name);
    if (found != nullptr) ::SSL_set_SSL_CTX(ssl, found);
    return SSL_TLSEXT_ERR_OK;
  } catch (...) {
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }
}

int choose_protocol(SSL* ssl, const unsigned char** chosen, unsigned char* size, const unsigned char* offered,
                    unsigned offered_size, void*) noexcept {
  const std::string& own = source_of(ssl).protocols();
  unsigned char* out = nullptr;
  if (::SSL_select_next_proto(&out, size, reinterpret_cast<const unsigned char*>(own.data()),
                              static_cast<unsigned>(own.size()), offered,
                              offered_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = out;
  return SSL_TLSEXT_ERR_OK;
}

// Found once: by its old name each ticket would look for it anew.
const EVP_CIPHER* cipher_of_tickets() {
  static const std::unique_ptr<EVP_CIPHER, decltype(&EVP_CIPHER_free)> found(
      ::EVP_CIPHER_fetch(nullptr, "AES-256-CBC", nullptr), &EVP_CIPHER_free);
  return found.get();
}

bool set_up(const ticket_secret::keys& k, const unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
            int encrypts) noexcept {
  char digest[] = "SHA256";
  const OSSL_PARAM how[] = {::OSSL_PARAM_construct_utf8_string("digest", digest, 0),
                            ::OSSL_PARAM_construct_end()};
  return ::EVP_CipherInit_ex(cipher, cipher_of_tickets(), nullptr, k.cipher.data(), iv, encrypts) == 1 &&
         ::EVP_MAC_init(mac, k.mac.data(), k.mac.size(), how) == 1;
}

// 1: the key is there; 2: so it is, and the client gets a new ticket; 0: there is none. In version 1.3 a
// ticket is for one connection (RFC 8446, C.4), so each brings the next one.
int ticket_key(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
               int encrypts) noexcept {
  try {
    ticket_secret::keys before{};
    bool has_before = false;
    const ticket_secret::keys present = source_of(ssl).ticket_keys(before, has_before);
    if (encrypts != 0) {
      if (::RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1) return -1;
      std::copy(present.name.begin(), present.name.end(), name);
      return set_up(present, iv, cipher, mac, 1) ? 1 : -1;
    }
    const auto is = [name](const ticket_secret::keys& k) {
      return std::equal(k.name.begin(), k.name.end(), name);
    };
    const int found = ::SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
    if (is(present)) return set_up(present, iv, cipher, mac, 0) ? found : -1;
    if (has_before && is(before)) return set_up(before, iv, cipher, mac, 0) ? 2 : -1;
    return 0;
  } catch (...) {
    return -1;
  }
}

void log_secret(const SSL* ssl, const char* line) noexcept { source_of(ssl).log_key(line); }

}  // namespace

server_source::server_source(const settings& s, const key_files& files, std::vector<problem>& problems)
    : offloads_keys_(s.tls.offload_keys), secret_(files.tickets), present_(secret_.present()) {
  for (const std::string& each : s.tls.alpn) {
    alpn_.push_back(static_cast<char>(each.size()));
    alpn_.append(each);
  }
  if (!s.tls.key_log.empty()) {
    key_log_ = unique_fd(::open(s.tls.key_log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    if (!key_log_)
      problems.push_back({"tls.key_log", fmt::format("\"{}\" cannot be written: {}", s.tls.key_log,
                                                     std::generic_category().message(errno))});
    else
      log::warning(
          "tls.key_log: the secrets of every connection are appended to {}, with which all of its bytes can "
          "be read",
          s.tls.key_log);
  }
  for (usable_certificate& each : parse(s, files, problems)) {
    context made = make_context(s, files, problems);
    if (!made) return;
    ::SSL_CTX_use_certificate(made.get(), each.chain.front().get());
    for (std::size_t i = 1; i < each.chain.size(); ++i)
      ::SSL_CTX_add1_chain_cert(made.get(), each.chain[i].get());
    if (::SSL_CTX_use_PrivateKey(made.get(), each.key.get()) != 1)
      problems.push_back({"tls.key", last_reason()});
    for (const std::string& name : each.names) by_name_.emplace(name, made.get());
    contexts_.push_back(std::move(made));
  }
}

context server_source::make_context(const settings& s, const key_files& files,
                                    std::vector<problem>& problems) {
  const tls_settings& t = s.tls;
  ::ERR_clear_error();
  context made(::SSL_CTX_new(::TLS_server_method()));
  if (!made) throw std::bad_alloc();
  SSL_CTX* const c = made.get();
  SSL_CTX_set_app_data(c, this);
  SSL_CTX_set_min_proto_version(c, t.minimum_version == tls_version::v1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
  ::SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                               SSL_OP_PRIORITIZE_CHACHA | (t.tickets ? 0 : SSL_OP_NO_TICKET));
  set_modes(c);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  ::SSL_CTX_set_timeout(c, std::chrono::duration_cast<std::chrono::seconds>(t.ticket_lifetime).count());
  ::SSL_CTX_set_num_tickets(c, t.tickets ? 1 : 0);
  ::SSL_CTX_set_max_early_data(c, 0);
  constexpr unsigned char sessions_of[] = "weir";
  ::SSL_CTX_set_session_id_context(c, sessions_of, sizeof sessions_of);
  ::SSL_CTX_set_tlsext_ticket_key_evp_cb(c, &ticket_key);
  SSL_CTX_set_tlsext_servername_callback(c, &choose_certificate);
  if (!alpn_.empty()) ::SSL_CTX_set_alpn_select_cb(c, &choose_protocol, nullptr);
  if (key_log_) ::SSL_CTX_set_keylog_callback(c, &log_secret);

  const auto refuse = [&](std::string_view key, const std::string& value) {
    problems.push_back({key, fmt::format("\"{}\": {}", value, last_reason())});
  };
  const char* const ciphers = t.ciphers.empty() ? "ECDHE+AESGCM:ECDHE+CHACHA20" : t.ciphers.c_str();
  if (::SSL_CTX_set_cipher_list(c, ciphers) != 1) refuse("tls.ciphers", t.ciphers);
  if (!t.ciphersuites.empty() && ::SSL_CTX_set_ciphersuites(c, t.ciphersuites.c_str()) != 1)
    refuse("tls.ciphersuites", t.ciphersuites);
  if (t.verify != client_certificate::none) {
    if (!believe(c, files.authorities)) refuse("tls.ca", t.ca);
    ::SSL_CTX_set_verify(
        c, SSL_VERIFY_PEER | (t.verify == client_certificate::require ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
        nullptr);
  }
  return made;
}

std::unique_ptr<stream_layer> server_source::accept() {
  auto out = tls_layer::accept(*contexts_.front(), shared_from_this());
  if (offloads_keys_) out->offload_keys();
  return out;
}

ssl_ctx_st* server_source::certificate_for(std::string_view server_name) const {
  std::string name(server_name.substr(0, 255));
  for (char& c : name)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  if (const auto exact = by_name_.find(name); exact != by_name_.end()) return exact->second;
  const auto dot = name.find('.');
  if (dot == std::string::npos || dot == 0) return nullptr;
  name.replace(0, dot, 1, '*');
  const auto wildcard = by_name_.find(name);
  return wildcard != by_name_.end() ? wildcard->second : nullptr;
}

ticket_secret::keys server_source::ticket_keys(ticket_secret::keys& before, bool& has_before) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t period = secret_.period();
  secret_.advance_to(::time(nullptr));
  if (secret_.period() != period) {
    has_before_ = secret_.period() == period + 1;
    before_ = present_;
    present_ = secret_.present();
  }
  before = before_;
  has_before = has_before_;
  return present_;
}

void server_source::log_key(const char* line) const noexcept {
  try {
    const std::string whole = std::string(line) + "\n";
    static_cast<void>(::write(key_log_.get(), whole.data(), whole.size()));
  } catch (const std::bad_alloc&) {  // this line is lost
  }
}

void server_source::has_failed(failure how, const stream_layer& layer, const peer_address& peer) noexcept {
  auto& count = how == failure::timeout ? late_ : failed_;
  count.fetch_add(1, std::memory_order_relaxed);
  const auto held_back = limit_.pass();
  if (!held_back) return;
  try {
    log::info("TLS handshake with {} failed: {} ({} more since the last line; {} failed, {} too slow)", peer,
              how == failure::timeout ? "it takes too long" : layer.reason(), *held_back, failed_.load(),
              late_.load());
  } catch (const std::bad_alloc&) {  // the line is lost
  }
}

}  // namespace weir::tls
