#include "ticket_keys.hpp"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <vector>

#include "weir/base/error.hpp"

namespace weir::tls {
namespace {

using block = std::array<unsigned char, 32>;
static_assert(SHA256_DIGEST_LENGTH == 32);

block derived(std::string_view purpose, const block& from) {
  std::array<unsigned char, 64> text{};
  auto* const end = std::copy(purpose.begin(), purpose.end(), text.begin());
  std::copy(from.begin(), from.end(), end);
  block out;
  ::SHA256(text.data(), purpose.size() + from.size(), out.data());
  OPENSSL_cleanse(text.data(), text.size());
  return out;
}

std::uint64_t period_of(std::int64_t now, std::chrono::seconds lifetime) noexcept {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(now, 0) / lifetime.count());
}

// Also read by programs of other versions: another layout has another name.
struct saved_secret {
  std::array<char, 16> form;
  block secret;
  std::int64_t lifetime;  // seconds
  std::uint64_t period;
};
constexpr std::array<char, 16> this_form{"weir tickets 1"};

}  // namespace

void ticket_secret::save(int file) const {
  const saved_secret text{this_form, secret_, lifetime_.count(), period_};
  if (::pwrite(file, &text, sizeof text, 0) != static_cast<ssize_t>(sizeof text))
    throw_system_error(errno, "keys of tickets for another process");
}

ticket_secret ticket_secret::load(int file) {
  saved_secret text{};
  const bool whole = ::pread(file, &text, sizeof text, 0) == static_cast<ssize_t>(sizeof text);
  if (!whole || text.form != this_form || text.lifetime < 1)
    throw_system_error(EPROTO, "keys of tickets of another process");
  ticket_secret out;
  out.secret_ = text.secret;
  out.lifetime_ = std::chrono::seconds(text.lifetime);
  out.period_ = text.period;
  return out;
}

ticket_secret ticket_secret::make(std::chrono::seconds lifetime, std::int64_t now) {
  ticket_secret out;
  if (::getrandom(out.secret_.data(), out.secret_.size(), 0) != static_cast<ssize_t>(out.secret_.size()))
    throw_system_error(errno, "getrandom");
  out.lifetime_ = std::max(lifetime, std::chrono::seconds(1));
  out.period_ = period_of(now, out.lifetime_);
  return out;
}

void ticket_secret::advance_to(std::int64_t now) {
  for (const std::uint64_t to = period_of(now, lifetime_); period_ < to; ++period_)
    secret_ = derived("next", secret_);
}

ticket_secret::keys ticket_secret::present() const {
  keys out{};
  const block name = derived("name", secret_);
  std::copy_n(name.begin(), out.name.size(), out.name.begin());
  out.cipher = derived("cipher", secret_);
  out.mac = derived("mac", secret_);
  return out;
}

ticket_secret ticket_secret::with(std::chrono::seconds lifetime, std::int64_t now) const {
  ticket_secret out;
  out.secret_ = derived("lifetime", secret_);
  out.lifetime_ = std::max(lifetime, std::chrono::seconds(1));
  out.period_ = period_of(now, out.lifetime_);
  return out;
}

}  // namespace weir::tls
