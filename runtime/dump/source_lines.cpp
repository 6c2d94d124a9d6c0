#include "source_lines.hpp"

#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <cstdlib>
#include <optional>
#include <string_view>

#include "program_image.hpp"
#include "weir/base/unique_fd.hpp"

namespace weir::dump {
namespace {

// Lines there say little about a program.
bool is_of_others(std::string_view path) noexcept {
  return path.starts_with("/usr/") || path.starts_with("include/weir/") ||
         path.find("/include/weir/") != std::string_view::npos;
}

std::string place(const char* path, int line) {
  const std::string_view all = path;
  return fmt::format("{}:{}", all.substr(all.rfind('/') + 1), line);
}

}  // namespace

struct source_lines::library {
  template <class F>
  void take(F*& f, const char* name) noexcept {
    f = handle == nullptr ? nullptr : reinterpret_cast<F*>(::dlsym(handle, name));
    complete = complete && f != nullptr;
  }

  library() noexcept : handle(::dlopen("libdw.so.1", RTLD_NOW | RTLD_LOCAL)) {
    take(begin, "dwarf_begin");
    take(end, "dwarf_end");
    take(next_unit, "dwarf_get_units");
    take(has_pc, "dwarf_haspc");
    take(scopes, "dwarf_getscopes");
    take(source, "dwarf_getsrc_die");
    take(path_of_line, "dwarf_linesrc");
    take(number_of_line, "dwarf_lineno");
    take(files, "dwarf_getsrcfiles");
    take(path_of_file, "dwarf_filesrc");
    take(tag, "dwarf_tag");
    take(attribute, "dwarf_attr");
    take(number, "dwarf_formudata");
  }
  // Never closed: libdw keeps what it has read until the end of the program.

  void* handle;
  bool complete = true;
  decltype(&::dwarf_begin) begin;
  decltype(&::dwarf_end) end;
  decltype(&::dwarf_get_units) next_unit;
  decltype(&::dwarf_haspc) has_pc;
  decltype(&::dwarf_getscopes) scopes;
  decltype(&::dwarf_getsrc_die) source;
  decltype(&::dwarf_linesrc) path_of_line;
  decltype(&::dwarf_lineno) number_of_line;
  decltype(&::dwarf_getsrcfiles) files;
  decltype(&::dwarf_filesrc) path_of_file;
  decltype(&::dwarf_tag) tag;
  decltype(&::dwarf_attr) attribute;
  decltype(&::dwarf_formudata) number;
};

struct source_lines::file {
  explicit file(library& l) : uses(l), fd(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC)) {
    if (fd && l.complete) all = l.begin(fd.get(), DWARF_C_READ);
  }
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  ~file() {
    if (all != nullptr) uses.end(all);
  }

  // Not by .debug_aranges: clang writes none.
  std::optional<Dwarf_Die> unit_with(Dwarf_Addr pc) {
    if (recent && uses.has_pc(&*recent, pc) > 0) return recent;
    Dwarf_CU* unit = nullptr;
    Dwarf_Die die;
    while (uses.next_unit(all, unit, &unit, nullptr, nullptr, &die, nullptr) == 0)
      if (uses.has_pc(&die, pc) > 0) return recent = die;
    return std::nullopt;
  }
  std::optional<Dwarf_Word> number(Dwarf_Die& of, unsigned name) {
    Dwarf_Attribute a;
    Dwarf_Word value = 0;
    return uses.attribute(&of, name, &a) != nullptr && uses.number(&a, &value) == 0 ? std::optional(value)
                                                                                    : std::nullopt;
  }

  library& uses;
  unique_fd fd;
  Dwarf* all = nullptr;
  std::optional<Dwarf_Die> recent;
};

source_lines::source_lines() = default;
source_lines::~source_lines() = default;

std::string source_lines::at(std::uintptr_t address) { return find(address, take::first_own); }

std::string source_lines::outermost_at(std::uintptr_t address) { return find(address, take::outermost); }

std::string source_lines::find(std::uintptr_t address, take which) {
  if (!library_) {
    library_ = std::make_unique<library>();
    file_ = std::make_unique<file>(*library_);
  }
  library& l = *library_;
  if (file_->all == nullptr) return {};
  const Dwarf_Addr pc = address - bias_here();
  auto unit = file_->unit_with(pc);
  if (!unit) return {};
  Dwarf_Line* const line = l.source(&*unit, pc);
  int number = 0;
  const char* path = line == nullptr ? nullptr : l.path_of_line(line, nullptr, nullptr);
  if (path == nullptr || l.number_of_line(line, &number) != 0) return {};
  std::string found;
  const auto note = [&](const char* in, int at) {
    if (in == nullptr || at == 0 || is_of_others(in)) return;
    if (which == take::outermost || found.empty()) found = place(in, at);
  };
  note(path, number);

  Dwarf_Files* files = nullptr;
  if (l.files(&*unit, &files, nullptr) != 0) return found;
  Dwarf_Die* all = nullptr;
  const int depth = l.scopes(&*unit, pc, &all);
  const std::unique_ptr<Dwarf_Die, void (*)(void*)> scopes(all, std::free);
  for (int i = 0; i < depth; ++i) {  // the innermost first
    if (l.tag(&all[i]) != DW_TAG_inlined_subroutine) continue;
    const auto file_number = file_->number(all[i], DW_AT_call_file);
    const auto line_number = file_->number(all[i], DW_AT_call_line);
    if (file_number && line_number)
      note(l.path_of_file(files, *file_number, nullptr, nullptr), static_cast<int>(*line_number));
  }
  return found;
}

}  // namespace weir::dump
