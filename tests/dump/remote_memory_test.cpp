#include "weir/dump/detail/remote_memory.hpp"

#include <catch2/catch.hpp>

#include <unistd.h>

#include <cstdint>
#include <limits>

namespace {

constexpr auto last = std::numeric_limits<std::uintptr_t>::max();

std::uint64_t read_or_zero(const weir::dump::copied_memory& from, std::uintptr_t at) {
  std::uint64_t value = 0;
  return from.read(at, &value, sizeof value) ? value : 0;
}

}  // namespace

TEST_CASE("what was copied is read at its addresses, and nothing beside it, whatever the address") {
  const weir::dump::copied_memory none;
  const weir::dump::copied_memory some{1000, std::vector<std::byte>(16, std::byte{1})};
  constexpr std::uint64_t ones = 0x0101010101010101;
  CHECK(read_or_zero(some, 1000) == ones);
  CHECK(read_or_zero(some, 1008) == ones);
  for (const std::uintptr_t at : {std::uintptr_t{0}, std::uintptr_t{992}, std::uintptr_t{999},
                                  std::uintptr_t{1009}, std::uintptr_t{1016}, last - 7, last - 6, last}) {
    CAPTURE(at);
    CHECK(read_or_zero(some, at) == 0);
    CHECK(read_or_zero(none, at) == 0);
  }
  const weir::dump::copied_memory at_the_end{last - 15, std::vector<std::byte>(16, std::byte{1})};
  CHECK(read_or_zero(at_the_end, last - 15) == ones);
  CHECK(read_or_zero(at_the_end, last - 7) == ones);
  CHECK(read_or_zero(at_the_end, last - 6) == 0);
  CHECK(read_or_zero(at_the_end, 0) == 0);
}

TEST_CASE("memory of a process is read as far as it goes") {
  const weir::dump::remote_memory ours(::getpid());
  const std::uint64_t there = 42;
  CHECK(ours.word(reinterpret_cast<std::uintptr_t>(&there)) == 42);
  for (const std::uintptr_t at : {std::uintptr_t{0}, std::uintptr_t{1}, last - 7, last}) {
    CAPTURE(at);
    CHECK(ours.word(at) == 0);
    CHECK(ours.piece(at, 64).empty());
  }
}
