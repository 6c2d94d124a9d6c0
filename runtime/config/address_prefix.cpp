#include "weir/config/detail/address_prefix.hpp"

#include <arpa/inet.h>

#include <charconv>
#include <string>

namespace weir {
namespace {

constexpr unsigned byte_bits = 8;

// The bits of byte `i` that belong to a prefix of `bits`.
unsigned mask(unsigned bits, std::size_t i) noexcept {
  const auto before = static_cast<unsigned>(i) * byte_bits;
  if (bits >= before + byte_bits) return 0xff;
  return bits <= before ? 0 : 0xffU << (before + byte_bits - bits) & 0xffU;
}

}  // namespace

std::optional<address_prefix> address_prefix::parse(std::string_view text) {
  address_prefix out;
  const auto slash = text.find('/');
  const std::string address(text.substr(0, slash));
  if (::inet_pton(AF_INET, address.c_str(), out.bytes_.data()) == 1)
    out.size_ = 4;
  else if (::inet_pton(AF_INET6, address.c_str(), out.bytes_.data()) == 1)
    out.size_ = 16;
  else
    return std::nullopt;
  const auto most = static_cast<unsigned>(out.size_) * byte_bits;
  out.bits_ = most;
  if (slash != std::string_view::npos) {
    const std::string_view bits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(bits.data(), bits.data() + bits.size(), out.bits_);
    if (error != std::errc() || end != bits.data() + bits.size() || out.bits_ > most) return std::nullopt;
  }
  for (std::size_t i = 0; i < out.size_; ++i)
    if ((out.bytes_[i] & ~mask(out.bits_, i)) != 0) return std::nullopt;
  return out;
}

bool address_prefix::contains(std::span<const std::uint8_t> address) const noexcept {
  if (address.size() != size_) return false;
  for (std::size_t i = 0; i < size_; ++i)
    if (((address[i] ^ bytes_[i]) & mask(bits_, i)) != 0) return false;
  return true;
}

}  // namespace weir
