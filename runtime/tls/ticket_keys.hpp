#pragma once
// tls: the keys that encrypt session tickets.

#include <array>
#include <chrono>
#include <cstdint>

namespace weir::tls {

// Problem: each worker of a pool must read the tickets of all others, of the generation before and of the one
// after, without a word between them, and a key that is found must not open old traffic. All begin with one
// secret, made before the fork; the secret of each further period is a hash of the one before, which is
// forgotten. A period lasts as long as a ticket.
// Thread: a value.
class ticket_secret {
 public:
  struct keys {
    std::array<unsigned char, 16> name;
    std::array<unsigned char, 32> cipher;
    std::array<unsigned char, 32> mac;
  };

  // Errors: std::system_error if the kernel has no random bytes.
  [[nodiscard]] static ticket_secret make(std::chrono::seconds lifetime, std::int64_t now);

  // Goes on to the period of `now`, in seconds since 1970; never back.
  void advance_to(std::int64_t now);
  [[nodiscard]] std::uint64_t period() const noexcept { return period_; }
  [[nodiscard]] std::chrono::seconds lifetime() const noexcept { return lifetime_; }
  [[nodiscard]] keys present() const;

  // The secret from which a lifetime that has changed goes on.
  [[nodiscard]] ticket_secret with(std::chrono::seconds lifetime, std::int64_t now) const;

  // As bytes, for another process. Errors: std::system_error if `file` does not hold what save() writes.
  void save(int file) const;
  [[nodiscard]] static ticket_secret load(int file);

 private:
  ticket_secret() = default;

  std::array<unsigned char, 32> secret_{};
  std::chrono::seconds lifetime_{1};
  std::uint64_t period_ = 0;
};

}  // namespace weir::tls
