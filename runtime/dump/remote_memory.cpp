#include "weir/dump/detail/remote_memory.hpp"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace weir::dump {
namespace {

constexpr std::size_t most_ranges = 512;  // in one system call
constexpr std::size_t most_blocks = 8192;

}  // namespace

bool remote_memory::read(std::uintptr_t at, void* into, std::size_t size) const noexcept {
  if (at < block_size) return false;
  if (!block_at_.empty() && read_fetched(at, static_cast<std::byte*>(into), size)) return true;
  const iovec here{into, size};
  const iovec there{reinterpret_cast<void*>(at), size};
  return ::process_vm_readv(process_, &here, 1, &there, 1, 0) == static_cast<ssize_t>(size);
}

bool remote_memory::read_fetched(std::uintptr_t at, std::byte* into, std::size_t size) const noexcept {
  while (size != 0) {
    const std::size_t within = at % block_size;
    const auto found = block_at_.find(at - within);
    if (found == block_at_.end()) return false;
    const std::size_t n = std::min(size, block_size - within);
    std::memcpy(into, fetched_.data() + found->second + within, n);
    at += n;
    into += n;
    size -= n;
  }
  return true;
}

void remote_memory::fetch(std::span<const std::uintptr_t> addresses, std::size_t size) {
  std::vector<std::uintptr_t> blocks;
  for (const std::uintptr_t at : addresses) {
    if (at < block_size || at > UINTPTR_MAX - size - block_size) continue;
    for (std::uintptr_t block = at - at % block_size; block < at + size; block += block_size)
      if (!block_at_.contains(block)) blocks.push_back(block);
  }
  std::ranges::sort(blocks);
  const auto rest = std::ranges::unique(blocks);
  blocks.erase(rest.begin(), rest.end());
  if (blocks.size() > most_blocks) blocks.resize(most_blocks);
  fetch_blocks(blocks);
}

// The kernel stops at the first range that it cannot read.
void remote_memory::fetch_blocks(std::span<const std::uintptr_t> in_order) {
  while (!in_order.empty()) {
    std::array<iovec, most_ranges> there;
    std::size_t ranges = 0;
    std::size_t blocks = 0;
    for (; blocks < in_order.size(); ++blocks) {
      const bool goes_on = blocks != 0 && in_order[blocks] == in_order[blocks - 1] + block_size;
      if (!goes_on && ranges == most_ranges) break;
      if (!goes_on) there[ranges++] = {reinterpret_cast<void*>(in_order[blocks]), 0};
      there[ranges - 1].iov_len += block_size;
    }
    const std::size_t before = fetched_.size();
    fetched_.resize(before + blocks * block_size);
    const iovec here{fetched_.data() + before, blocks * block_size};
    const ssize_t n = ::process_vm_readv(process_, &here, 1, there.data(), ranges, 0);
    const std::size_t whole = n > 0 ? static_cast<std::size_t>(n) / block_size : 0;
    for (std::size_t i = 0; i < whole; ++i) block_at_.emplace(in_order[i], before + i * block_size);
    fetched_.resize(before + whole * block_size);
    in_order = in_order.subspan(std::min(whole + (whole < blocks ? 1 : 0), in_order.size()));
  }
}

void remote_memory::forget() noexcept {
  fetched_.clear();
  block_at_.clear();
}

std::vector<std::byte> remote_memory::piece(std::uintptr_t at, std::size_t most) const {
  std::vector<std::byte> out(most);
  while (!out.empty() && !read(at, out.data(), out.size())) out.resize(out.size() / 2);
  return out;
}

std::uintptr_t remote_memory::word(std::uintptr_t at) const noexcept {
  std::uintptr_t value = 0;
  return read(at, &value, sizeof value) ? value : 0;
}

}  // namespace weir::dump
