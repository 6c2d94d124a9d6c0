#include "program_image.hpp"

#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <utility>

#include "weir/base/error.hpp"
#include "weir/base/unique_fd.hpp"

namespace weir::dump {
namespace {

// Of this program: how far it was moved, and where its file begins in memory.
struct place {
  std::uintptr_t bias = 0;
  std::uintptr_t start = 0;
};

place place_here() {
  place found;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* into) {
        auto& at = *static_cast<place*>(into);
        at.bias = info->dlpi_addr;
        for (int i = 0; i < info->dlpi_phnum; ++i)
          if (const auto& part = info->dlpi_phdr[i]; part.p_type == PT_LOAD && part.p_offset == 0)
            at.start = at.bias + part.p_vaddr;
        return 1;  // the first one is the program
      },
      &found);
  return found;
}

// An ELF file of this machine. Each look is checked against its size.
class elf_file {
 public:
  explicit elf_file(const std::string& path) {
    const unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat s{};
    if (!file || ::fstat(file.get(), &s) != 0 || s.st_size <= 0) return;
    const auto size = static_cast<std::size_t>(s.st_size);
    void* const at = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (at == MAP_FAILED) return;
    bytes_ = {static_cast<const char*>(at), size};
    const auto* const head = look<ElfW(Ehdr)>(0);
    if (head == nullptr || std::memcmp(head->e_ident, ELFMAG, SELFMAG) != 0) return;
    for (std::size_t i = 0; i < head->e_shnum; ++i)
      if (const auto* section = look<ElfW(Shdr)>(head->e_shoff + i * head->e_shentsize))
        sections_.push_back(*section);
  }
  elf_file(const elf_file&) = delete;
  elf_file& operator=(const elf_file&) = delete;
  ~elf_file() {
    if (!bytes_.empty()) ::munmap(const_cast<char*>(bytes_.data()), bytes_.size());
  }

  template <class T>
  [[nodiscard]] const T* look(std::uint64_t at) const noexcept {
    if (at > bytes_.size() || bytes_.size() - at < sizeof(T) || at % alignof(T) != 0) return nullptr;
    return reinterpret_cast<const T*>(bytes_.data() + at);
  }
  [[nodiscard]] const std::vector<ElfW(Shdr)>& sections() const noexcept { return sections_; }
  [[nodiscard]] std::string_view content(const ElfW(Shdr) & s) const noexcept {
    if (s.sh_type == SHT_NOBITS || s.sh_offset > bytes_.size() || bytes_.size() - s.sh_offset < s.sh_size)
      return {};
    return bytes_.substr(s.sh_offset, s.sh_size);
  }

  // In hex; empty if there is none.
  [[nodiscard]] std::string build_id() const {
    for (const auto& s : sections_) {
      const std::string_view note = content(s);
      constexpr std::size_t head = sizeof(ElfW(Nhdr)) + 4;  // and "GNU"
      if (s.sh_type != SHT_NOTE || note.size() <= head) continue;
      ElfW(Nhdr) n;
      std::memcpy(&n, note.data(), sizeof n);
      if (n.n_type != NT_GNU_BUILD_ID || n.n_namesz != 4 || note.size() - head < n.n_descsz) continue;
      std::string id;
      for (const char c : note.substr(head, n.n_descsz))
        id += fmt::format("{:02x}", static_cast<unsigned char>(c));
      return id;
    }
    return {};
  }

 private:
  std::string_view bytes_;  // of the mapped file: a program that runs is not written to
  std::vector<ElfW(Shdr)> sections_;
};

struct stat file_of(const std::string& path, ::pid_t process) {
  struct stat s{};
  if (::stat(path.c_str(), &s) != 0) {
    const int why = errno == ENOENT ? ESRCH : errno;
    throw_system_error(why, fmt::format("process {}", process));
  }
  return s;
}

bool ends_with_one_of(std::string_view text, std::initializer_list<std::string_view> ends) {
  return std::ranges::any_of(ends, [&](std::string_view end) { return text.ends_with(end); });
}

void replace_all(std::string& in, std::string_view what, std::string_view by) {
  for (std::size_t at = 0; (at = in.find(what, at)) != std::string::npos; at += by.size())
    in.replace(at, what.size(), by);
}

}  // namespace

symbols::symbols() {
  const elf_file file("/proc/self/exe");
  for (const auto& table : file.sections()) {
    if (table.sh_type != SHT_SYMTAB || table.sh_link >= file.sections().size()) continue;
    names_ = file.content(file.sections()[table.sh_link]);
    for (std::uint64_t at = 0; at + sizeof(ElfW(Sym)) <= table.sh_size; at += sizeof(ElfW(Sym))) {
      const auto* const s = file.look<ElfW(Sym)>(table.sh_offset + at);
      if (s == nullptr || s->st_size == 0 || s->st_name >= names_.size()) continue;
      const auto type = ELF64_ST_TYPE(s->st_info);
      if (type == STT_FUNC || type == STT_OBJECT) sorted_.push_back({s->st_value, s->st_size, s->st_name});
    }
  }
  std::ranges::sort(sorted_, {}, &symbol::value);
}

std::uintptr_t bias_here() noexcept {
  static const std::uintptr_t bias = place_here().bias;
  return bias;
}

std::string_view symbols::at(std::uintptr_t address) const noexcept {
  address -= bias_here();
  auto next = std::ranges::upper_bound(sorted_, address, {}, &symbol::value);
  if (next == sorted_.begin()) return {};
  const symbol& found = *--next;
  return address - found.value < found.size ? std::string_view(names_.c_str() + found.name)
                                            : std::string_view();
}

std::uintptr_t shift_of(::pid_t process) {
  const std::string there = fmt::format("/proc/{}/exe", process);
  const struct stat theirs = file_of(there, process);
  const struct stat ours = file_of("/proc/self/exe", process);
  if (theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino) {
    const std::string their_id = elf_file(there).build_id();
    const std::string our_id = elf_file("/proc/self/exe").build_id();
    if (their_id.empty() || their_id != our_id)
      throw std::system_error(
          std::make_error_code(std::errc::invalid_argument),
          fmt::format(
              "process {} runs another program or another build: its build id is {}, this one's is {}",
              process, their_id.empty() ? "none" : their_id, our_id.empty() ? "none" : our_id));
  }
  std::ifstream maps(fmt::format("/proc/{}/maps", process));
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t start = 0;
    std::uint64_t offset = 0;
    std::uint64_t inode = 0;
    unsigned high = 0;
    unsigned low = 0;
    if (std::sscanf(line.c_str(), "%lx-%*x %*s %lx %x:%x %lu", &start, &offset, &high, &low, &inode) == 5 &&
        offset == 0 && inode == theirs.st_ino && makedev(high, low) == theirs.st_dev)
      return start - place_here().start;
  }
  throw_system_error(EACCES, fmt::format("process {}: its memory may not be looked at", process));
}

std::string demangled(std::string_view mangled) {
  int status = -1;
  const std::unique_ptr<char, void (*)(void*)> plain(
      abi::__cxa_demangle(std::string(mangled).c_str(), nullptr, nullptr, &status), std::free);
  return status == 0 ? plain.get() : std::string(mangled);
}

std::string coroutine_name(std::string_view mangled) {
  std::string_view function;
  if (ends_with_one_of(mangled, {".resume", ".destroy", ".cleanup"})) {  // clang
    function = mangled.substr(0, mangled.rfind('.'));
  } else if (const auto end = mangled.find(".Frame"); end != std::string_view::npos) {
    // GCC: the name of the function, with its length, precedes ".Frame" in a nested name.
    for (auto at = mangled.rfind("_Z", end); at != std::string_view::npos && at > 0;
         at = mangled.rfind("_Z", at - 1)) {
      function = mangled.substr(at, end - at);
      std::size_t digits = at;
      while (digits > 0 && mangled[digits - 1] >= '0' && mangled[digits - 1] <= '9') --digits;
      if (digits < at && mangled.substr(digits, at - digits) == fmt::format("{}", end + 6 - at)) break;
    }
  }
  if (function.empty()) return {};
  return without_namespaces(demangled(function));
}

std::string without_namespaces(std::string name) {
  replace_all(name, "(anonymous namespace)::", "");
  return name;
}

std::string operation_name(std::string_view mangled) {
  std::string name = demangled(mangled);
  for (const std::string_view noise : {"(anonymous namespace)::", "weir::detail::", "weir::", "kind_of_ring_",
                                       "kind_of_", "::kind", "_operation"})
    replace_all(name, noise, "");
  constexpr std::pair<std::string_view, std::string_view> words[] = {
      {"children::wait", "join"},   {"nothing", "its turn"},     {"fill", "read (reader)"},
      {"flush", "send (writer)"},   {"gather", "send (gather)"}, {"client", "a client"},
      {"room", "room for a client"}};
  for (const auto& [from, to] : words)
    if (name == from) return std::string(to);
  return name;
}

}  // namespace weir::dump
