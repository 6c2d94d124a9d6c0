#include "weir/dump/detail/remote_memory.hpp"

#include <sys/uio.h>

namespace weir::dump {

bool remote_memory::read(std::uintptr_t at, void* into, std::size_t size) const noexcept {
  if (at < 4096) return false;
  const iovec here{into, size};
  const iovec there{reinterpret_cast<void*>(at), size};
  return ::process_vm_readv(process_, &here, 1, &there, 1, 0) == static_cast<ssize_t>(size);
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
