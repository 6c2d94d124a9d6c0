#include "request_id.hpp"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <ctime>

namespace weir::http {
namespace {

// The first half is the thread's, the second one a permutation of the numbers of its requests.
struct thread_ids {
  bool is_seeded = false;
  std::uint64_t first = 0;
  std::uint64_t second = 0;
};

// The finalizer of MurmurHash3, which is a permutation.
std::uint64_t mixed(std::uint64_t x) noexcept {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdU;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53U;
  return x ^ (x >> 33);
}

void seed(thread_ids& to) noexcept {
  to.is_seeded = true;
  std::uint64_t random[2]{};
  if (::getrandom(random, sizeof random, GRND_NONBLOCK) != sizeof random) {
    ::timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    random[0] = mixed(static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
                      static_cast<std::uint64_t>(now.tv_nsec));
    random[1] = mixed(random[0] + static_cast<std::uint64_t>(::gettid()));
  }
  to.first = random[0];
  to.second = random[1];
}

void put_hex(char* to, std::uint64_t n) noexcept {
  constexpr std::string_view digits = "0123456789abcdef";
  for (int i = 15; i >= 0; --i, n >>= 4) to[i] = digits[n & 15];
}

}  // namespace

// Hazard: a coroutine must not keep the address of a thread's variable, which inlining would allow.
[[gnu::noinline]] void write_request_id(char* to) noexcept {
  static constinit thread_local thread_ids mine{};
  if (!mine.is_seeded) [[unlikely]]
    seed(mine);
  put_hex(to, mine.first);
  put_hex(to + 16, mixed(mine.second++));
}

bool is_request_id(std::string_view text) noexcept {
  const auto may_be = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  return !text.empty() && text.size() <= 128 && std::all_of(text.begin(), text.end(), may_be);
}

}  // namespace weir::http
