#pragma once
// admission: how many connections one client address may have.

#include <cstdint>
#include <mutex>
#include <unordered_map>

namespace weir {

// Counts by address, up to a limit. `Address` has host(), the address without its port, hash() and ==.
// Thread: any.
template <class Address>
class address_limit {
 public:
  // 0: no limit, and nothing is counted.
  explicit address_limit(std::uint32_t limit) noexcept : limit_(limit) {}

  [[nodiscard]] bool is_on() const noexcept { return limit_ != 0; }

  // Neither the present limit nor the next one is 0. Connections beyond it stay.
  void set_limit(std::uint32_t limit) noexcept {
    const std::lock_guard lock(mutex_);
    limit_ = limit;
  }

  // False if the address has as many as it may. Each success is followed by one release().
  // Errors: std::bad_alloc, and nothing is counted.
  [[nodiscard]] bool try_acquire(const Address& a) {
    const std::lock_guard lock(mutex_);
    std::uint32_t& count = in_use_[a.host()];
    if (count >= limit_) return false;
    ++count;
    return true;
  }
  void release(const Address& a) noexcept {
    const std::lock_guard lock(mutex_);
    const auto at = in_use_.find(a.host());
    if (at != in_use_.end() && --at->second == 0) in_use_.erase(at);
  }

  // Addresses that have a connection.
  [[nodiscard]] std::size_t addresses() const {
    const std::lock_guard lock(mutex_);
    return in_use_.size();
  }

 private:
  struct hash_of {
    std::size_t operator()(const Address& a) const noexcept { return a.hash(); }
  };

  std::uint32_t limit_;
  mutable std::mutex mutex_;
  std::unordered_map<Address, std::uint32_t, hash_of> in_use_;
};

}  // namespace weir
