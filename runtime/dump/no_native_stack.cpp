// dump: of a processor whose registers are not known here.

#include "native_stack.hpp"

namespace weir::dump {

struct native_stacks::library {};

std::optional<native_state> state_of_waiting(const std::string&) { return std::nullopt; }
std::optional<native_state> state_of_running(int) { return std::nullopt; }

native_stacks::native_stacks(::pid_t process) : process_(process) {}
native_stacks::~native_stacks() = default;

std::vector<std::uintptr_t> native_stacks::of(const native_state&) { return {}; }

}  // namespace weir::dump
