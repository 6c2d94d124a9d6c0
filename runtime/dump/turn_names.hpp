#pragma once
// dump: names of recorded turns.

#include <map>
#include <string>
#include <string_view>

#include "program_image.hpp"
#include "weir/observe/detail/turn_ring.hpp"

namespace weir::dump {

// Thread: one at a time. Lifetime: within that of the symbols.
class turn_names {
 public:
  // `shift`: that of the process in which they were recorded.
  turn_names(const symbols& names, std::uintptr_t shift) noexcept : symbols_(names), shift_(shift) {}

  // "10.0.0.7:5123"; empty for what is no connection's.
  [[nodiscard]] static std::string peer_of(const observe::turn& t);
  // "orders::serve(weir::connection)"; empty if it is not known.
  [[nodiscard]] const std::string& coroutine_with(const void* resume_function);
  // "orders::serve": the innermost coroutine if that is the program's own, else the outermost.
  [[nodiscard]] std::string_view handler_of(const observe::turn& t);

 private:
  const symbols& symbols_;
  std::uintptr_t shift_;
  std::map<const void*, std::string> known_;
};

}  // namespace weir::dump
