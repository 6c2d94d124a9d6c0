#include "source_lines.hpp"

#include <dlfcn.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "program_image.hpp"
#include "weir/base/unique_fd.hpp"

namespace weir::dump {
namespace {

constexpr std::size_t deepest = 64;

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
    take(child, "dwarf_child");
    take(sibling, "dwarf_siblingof");
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
  decltype(&::dwarf_child) child;
  decltype(&::dwarf_siblingof) sibling;
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

  // The function with `pc`, which may lie in namespaces and classes of a unit.
  bool find_function(Dwarf_Die& in, Dwarf_Addr pc, unsigned depth, Dwarf_Die& found) {
    Dwarf_Die at;
    if (depth == deepest || uses.child(&in, &at) != 0) return false;
    do switch (uses.tag(&at)) {
        case DW_TAG_subprogram:
          if (uses.has_pc(&at, pc) > 0) return found = at, true;
          break;
        case DW_TAG_namespace:
        case DW_TAG_class_type:
        case DW_TAG_structure_type:
          if (find_function(at, pc, depth + 1, found)) return true;
          break;
        default: break;
      }
    while (uses.sibling(&at, &at) == 0);
    return false;
  }
  // What was inlined there, from the outermost to the innermost. Some of it has no addresses, but has in it
  // what has.
  bool find_inlined(Dwarf_Die& in, Dwarf_Addr pc, std::vector<Dwarf_Die>& path) {
    Dwarf_Die at;
    if (path.size() == deepest || uses.child(&in, &at) != 0) return false;
    do {
      if (const int tag = uses.tag(&at); tag != DW_TAG_inlined_subroutine && tag != DW_TAG_lexical_block)
        continue;
      path.push_back(at);
      if (find_inlined(at, pc, path) || uses.has_pc(&at, pc) > 0) return true;
      path.pop_back();
    } while (uses.sibling(&at, &at) == 0);
    return false;
  }
  std::vector<Dwarf_Die> inlined_at(Dwarf_Die& unit, Dwarf_Addr pc) {
    std::vector<Dwarf_Die> path;
    auto function = std::ranges::find_if(functions, [&](Dwarf_Die& f) { return uses.has_pc(&f, pc) > 0; });
    if (function == functions.end()) {
      Dwarf_Die found;
      if (!find_function(unit, pc, 0, found)) return path;
      function = functions.insert(functions.end(), found);
    }
    find_inlined(*function, pc, path);
    return path;
  }

  library& uses;
  std::vector<Dwarf_Die> functions;  // that were found before
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
  std::vector<Dwarf_Die> inlined = file_->inlined_at(*unit, pc);
  for (auto each = inlined.rbegin(); each != inlined.rend(); ++each) {
    const auto file_number = file_->number(*each, DW_AT_call_file);
    const auto line_number = file_->number(*each, DW_AT_call_line);
    if (file_number && line_number)
      note(l.path_of_file(files, *file_number, nullptr, nullptr), static_cast<int>(*line_number));
  }
  return found;
}

}  // namespace weir::dump
