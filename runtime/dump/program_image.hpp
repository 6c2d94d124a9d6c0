#pragma once
// dump: where this very program lies in another process, and the names of its functions.

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace weir::dump {

// The symbols of this program, by address here. Errors: none; a program without symbols has no names.
class symbols {
 public:
  symbols();
  // The mangled name of the function or object at `address`; empty if there is none.
  [[nodiscard]] std::string_view at(std::uintptr_t address) const noexcept;

 private:
  struct symbol {
    std::uint64_t value;
    std::uint64_t size;
    std::uint32_t name;
  };
  std::vector<symbol> sorted_;
  std::string names_;
};

// How far this program was moved from where its file says.
[[nodiscard]] std::uintptr_t bias_here() noexcept;

// What lies between an address of this program here and in `process`: the one there is the one here plus
// this. Errors: std::system_error if the process cannot be looked at, or runs another program, or another
// build of it.
[[nodiscard]] std::uintptr_t shift_of(::pid_t process);

// "orders::serve(weir::connection)" for the resume function of a coroutine, as GCC and clang name it; empty
// for a name that is none of theirs.
[[nodiscard]] std::string coroutine_name(std::string_view mangled);

// "receive" for weir::detail::kind_of_receive, "channel<int>::pop" for the kind of that operation.
[[nodiscard]] std::string operation_name(std::string_view mangled);

// A readable name without "(anonymous namespace)::".
[[nodiscard]] std::string without_namespaces(std::string name);

[[nodiscard]] std::string demangled(std::string_view mangled);

}  // namespace weir::dump
