#include "tls_layer.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "key_files.hpp"

namespace weir::tls {
namespace {

constexpr std::size_t most_at_once = std::size_t{64} * 1024;  // of plaintext, until the socket is asked

// How many bytes of `text`, which begins where a record does, are whole records. None: behind them is no
// record.
std::optional<std::size_t> whole_records(std::string_view text) noexcept {
  const auto byte = [text](std::size_t i) { return std::size_t{static_cast<unsigned char>(text[i])}; };
  for (std::size_t at = 0;;) {
    const std::size_t head = at + SSL3_RT_HEADER_LENGTH;
    if (text.size() < head) return at;
    const std::size_t size = byte(at + 3) << 8 | byte(at + 4);
    if (byte(at) < SSL3_RT_CHANGE_CIPHER_SPEC || byte(at) > SSL3_RT_APPLICATION_DATA ||
        size > SSL3_RT_MAX_ENCRYPTED_LENGTH)
      return {};
    if (text.size() - head < size) return at;
    at = head + size;
  }
}

tls_layer& layer_of(BIO* b) noexcept { return *static_cast<tls_layer*>(::BIO_get_data(b)); }

int bio_write(BIO* b, const char* from, std::size_t size, std::size_t* written) noexcept {
  BIO_clear_retry_flags(b);
  if (!layer_of(b).write_later(from, size)) return 0;
  *written = size;
  return 1;
}

int bio_read(BIO* b, char* into, std::size_t size, std::size_t* got) noexcept {
  BIO_clear_retry_flags(b);
  const long n = layer_of(b).read_socket(into, size);
  if (n == -EAGAIN) BIO_set_retry_read(b);
  *got = n > 0 ? static_cast<std::size_t>(n) : 0;
  return n > 0 ? 1 : 0;
}

long bio_control(BIO* b, int what, long, void*) noexcept {
  switch (what) {
    case BIO_CTRL_FLUSH:
    case BIO_CTRL_DUP: return 1;
    case BIO_CTRL_EOF: return layer_of(b).at_end() ? 1 : 0;
    default: return 0;
  }
}

const BIO_METHOD* method() {
  static const BIO_METHOD* const made = [] {
    BIO_METHOD* const m = ::BIO_meth_new(::BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weir socket");
    if (m == nullptr) throw std::bad_alloc();
    ::BIO_meth_set_write_ex(m, &bio_write);
    ::BIO_meth_set_read_ex(m, &bio_read);
    ::BIO_meth_set_ctrl(m, &bio_control);
    return m;
  }();
  return made;
}

}  // namespace

void set_modes(ssl_ctx_st* c) noexcept {
  // What a certificate's file does not hold is not looked for in each handshake: NO_AUTO_CHAIN.
  SSL_CTX_set_mode(c, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                          SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_AUTO_RETRY | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_read_ahead(c, 1);  // a record's head and body by one system call
}

bool believe(ssl_ctx_st* c, const std::string& authorities) {
  const bio in = bio_of(authorities);
  bool any = false;
  for (;; any = true) {
    const certificate each(::PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr));
    if (!each) break;
    ::X509_STORE_add_cert(::SSL_CTX_get_cert_store(c), each.get());
    ::SSL_CTX_add_client_CA(c, each.get());
  }
  if (any) ::ERR_clear_error();
  return any;
}

tls_layer::tls_layer(ssl_ctx_st& of, std::shared_ptr<const void> keeps)
    : ssl_(::SSL_new(&of)), keeps_(std::move(keeps)) {
  BIO* const b = ssl_ ? ::BIO_new(method()) : nullptr;
  if (b == nullptr) throw std::bad_alloc();
  ::BIO_set_data(b, this);
  ::BIO_set_init(b, 1);
  ::SSL_set_bio(ssl_.get(), b, b);
}

std::unique_ptr<tls_layer> tls_layer::accept(ssl_ctx_st& of, std::shared_ptr<const void> keeps) {
  std::unique_ptr<tls_layer> out(new tls_layer(of, std::move(keeps)));
  ::SSL_set_accept_state(out->ssl_.get());
  return out;
}

std::unique_ptr<tls_layer> tls_layer::connect(ssl_ctx_st& of, std::shared_ptr<const void> keeps) {
  std::unique_ptr<tls_layer> out(new tls_layer(of, std::move(keeps)));
  ::SSL_set_connect_state(out->ssl_.get());
  return out;
}

long tls_layer::read_socket(void* into, std::size_t size) noexcept {
  const std::size_t early = take_early(into, away_ ? std::min(size, offered_) : size);
  if (away_) offered_ -= early;
  if (early != 0) return static_cast<long>(early);
  return away_ ? -EAGAIN : receive(into, size);
}

long tls_layer::receive(void* into, std::size_t size) noexcept {
  const long n = socket_recv(into, size);
  if (n == 0) at_end_ = true;
  if (n < 0 && n != -EAGAIN) error_ = static_cast<int>(-n);
  return n;
}

bool tls_layer::write_later(const void* from, std::size_t size) noexcept {
  try {
    unsent_.append(static_cast<const char*>(from), size);
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// What is written goes to the socket. 0, or -errno; -EAGAIN: some of it stays unsent.
long tls_layer::push(int flags) noexcept {
  if (unsent_.empty()) return 0;
  std::size_t done = 0;
  long n = 0;
  while (done < unsent_.size() && (n = socket_send(unsent_.data() + done, unsent_.size() - done, flags)) > 0)
    done += static_cast<std::size_t>(n);
  if (done < unsent_.size() && n == -EAGAIN) {
    unsent_.erase(0, done);
    return n;
  }
  std::string().swap(unsent_);  // an idle connection keeps no buffer
  if (n >= 0) return 0;
  if (failed_) return n;  // and an alert could not be told
  error_ = static_cast<int>(-n);
  return failed();
}

long tls_layer::flush() noexcept { return away_ ? 0 : push(0); }

long tls_layer::failed() noexcept {
  failed_ = true;
  const int kept = error_;
  try {
    reason_ = last_reason();
    if (reason_.empty()) reason_ = kept != 0 ? std::generic_category().message(kept) : "the peer has left";
  } catch (const std::bad_alloc&) {
  }
  return -(kept != 0 ? kept : at_end_ ? ECONNRESET : EPROTO);
}

// 0, -EAGAIN when input is missing, or another -errno.
long tls_layer::step() noexcept {
  if (failed_) return -EPROTO;
  ::ERR_clear_error();
  const int result = ::SSL_do_handshake(ssl_.get());
  if (result == 1) return 0;
  return ::SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ ? -EAGAIN : failed();
}

long tls_layer::open() noexcept {
  const long answer = step();
  holds_input_ = answer == 0 && has_input();
  // A client whose system gathers small segments (Nagle) sends its request when the end of its handshake was
  // acknowledged, which the kernel delays by 40 ms.
  if (answer == 0 && unsent_.empty()) acknowledge();
  const long sent = push(0);  // also an alert
  if (answer == 0) return sent == -EAGAIN ? 0 : sent;
  return answer == -EAGAIN && sent < 0 ? sent : answer;
}

// Until the own Finished is written, in which the server's key is used; a client's certificate is verified
// after it.
bool tls_layer::opens_slowly() const noexcept {
  if (!offloads_ || failed_) return false;
  return ::SSL_get_verify_mode(ssl_.get()) == SSL_VERIFY_NONE
             ? ::SSL_get_finished(ssl_.get(), nullptr, 0) == 0
             : ::SSL_is_init_finished(ssl_.get()) == 0;
}

// OpenSSL's, or what it has not been offered.
bool tls_layer::has_input() const noexcept { return ::SSL_has_pending(ssl_.get()) == 1 || has_early(); }

// The bytes of early() that the next step may have. The rest of a record stays here, so early() always begins
// where a record does, until a client sends what is no record: OpenSSL refuses that.
std::size_t tls_layer::worth_a_step() noexcept {
  const std::optional<std::size_t> whole = sends_records_ ? whole_records(early()) : std::nullopt;
  sends_records_ = whole.has_value();
  return whole.value_or(early().size());
}

// A whole record, because a step that waits for the rest of one is not worth another thread.
long tls_layer::hear() noexcept {
  if (const long sent = push(0); sent < 0) return sent;
  std::string& heard = early();
  std::array<char, 2048> more;
  while ((offered_ = worth_a_step()) == 0) {
    const long n = receive(more.data(), more.size());
    if (n <= 0) return n == -EAGAIN ? n : failed();
    try {
      heard.append(more.data(), static_cast<std::size_t>(n));
    } catch (const std::bad_alloc&) {
      return -ENOMEM;
    }
  }
  away_ = true;
  return 0;
}

void tls_layer::open_apart() noexcept { static_cast<void>(step()); }

long tls_layer::recv(void* into, std::size_t size) noexcept {
  static_cast<void>(push(0));
  if (failed_) return -ECONNRESET;
  std::size_t got = 0;
  ::ERR_clear_error();
  const int result = ::SSL_read_ex(ssl_.get(), into, size, &got);
  if (result == 1) {
    holds_input_ = has_input();
    static_cast<void>(push(0));
    return static_cast<long>(got);
  }
  holds_input_ = false;
  const int what = ::SSL_get_error(ssl_.get(), result);
  long answer = 0;
  if (what == SSL_ERROR_WANT_READ)
    answer = -EAGAIN;
  else if (what != SSL_ERROR_ZERO_RETURN)
    answer = failed();  // also an end without a word: the stream may have been cut
  static_cast<void>(push(0));
  return answer;
}

long tls_layer::send(const void* from, std::size_t size, int flags) noexcept {
  if (failed_) return -EPIPE;
  if (const long n = flush(); n != 0) return n;
  const auto* const bytes = static_cast<const char*>(from);
  const std::size_t most = std::min(size, most_at_once);
  std::size_t done = 0;
  try {
    unsent_.reserve(most + most / 64 + 256);
  } catch (const std::bad_alloc&) {
    return -ENOMEM;
  }
  ::ERR_clear_error();
  while (done < most) {
    std::size_t n = 0;
    const int result = ::SSL_write_ex(ssl_.get(), bytes + done, most - done, &n);
    if (result != 1) return failed();
    done += n;
  }
  const long n = push(flags);
  return n < 0 && n != -EAGAIN ? n : static_cast<long>(done);
}

void tls_layer::end_output() noexcept {
  if (away_ || failed_ || std::exchange(output_ended_, true) || ::SSL_is_init_finished(ssl_.get()) == 0)
    return;
  ::ERR_clear_error();
  ::SSL_shutdown(ssl_.get());
  static_cast<void>(push(0));
}

bool tls_layer::was_resumed() const noexcept { return ::SSL_session_reused(ssl_.get()) == 1; }

tls_info tls_layer::info() const {
  SSL* const ssl = ssl_.get();
  tls_info out;
  if (const char* const name = ::SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) out.server_name = name;
  const unsigned char* protocol = nullptr;
  unsigned size = 0;
  ::SSL_get0_alpn_selected(ssl, &protocol, &size);
  if (size != 0) out.alpn.assign(reinterpret_cast<const char*>(protocol), size);
  out.version = ::SSL_get_version(ssl);
  if (const char* const cipher = SSL_get_cipher_name(ssl)) out.cipher = cipher;
  out.resumed = was_resumed();
  if (const x509_st* const peer = ::SSL_get0_peer_certificate(ssl)) {
    out.peer_subject = subject_of(*peer);
    out.peer_names = names_of(*peer);
    out.verified =
        ::SSL_get_verify_result(ssl) == X509_V_OK && (::SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) != 0;
  }
  return out;
}

}  // namespace weir::tls
