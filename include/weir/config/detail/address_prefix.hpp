#pragma once
// config: an address, or all addresses that begin with the same bits.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace weir {

// A value. Thread: none.
class address_prefix {
 public:
  // "192.0.2.7", "10.0.0.0/8", "::1", "2001:db8::/32". Nothing if it is none of these, or if an address has
  // bits behind its prefix.
  [[nodiscard]] static std::optional<address_prefix> parse(std::string_view text);

  // `address`: 4 or 16 bytes in network order.
  [[nodiscard]] bool contains(std::span<const std::uint8_t> address) const noexcept;

 private:
  std::array<std::uint8_t, 16> bytes_{};
  std::size_t size_ = 0;  // of the address: 4 or 16
  unsigned bits_ = 0;
};

}  // namespace weir
