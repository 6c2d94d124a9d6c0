#pragma once
// dump: at which source line a suspended coroutine waits.

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "program_image.hpp"
#include "resume_point.hpp"
#include "source_lines.hpp"
#include "weir/dump/detail/remote_memory.hpp"

namespace weir::dump {

// The frame's copy of the number of its suspension point is found by what the first steps of its function
// do when parts of a frame are changed; the line is that of the first step which belongs to this suspension
// point alone. What is found is kept, so a dump of many frames takes few steps.
// Thread: as of resume_point.
class wait_lines {
 public:
  wait_lines(const symbols& names, source_lines& lines) : symbols_(names), lines_(lines) {}

  // "orders.cpp:88"; empty if it is not known. `function`: the resume function, as an address here. `frame`:
  // its address in `memory`. Errors: std::bad_alloc.
  [[nodiscard]] const std::string& at(std::uintptr_t function, const remote_memory& memory,
                                      std::uintptr_t frame);

 private:
  using bytes = std::vector<std::byte>;
  using path = std::vector<std::uintptr_t>;
  // Where the number lies. GCC has two bytes, even for those that resume; clang one.
  struct place {
    std::size_t offset = 0;
    std::uint16_t step = 1;  // from one suspension point to the next
    std::size_t size = 1;
  };

  [[nodiscard]] path steps(std::uintptr_t function, const bytes& frame, std::size_t most);
  [[nodiscard]] std::optional<place> find_place(std::uintptr_t function, const bytes& frame);
  [[nodiscard]] std::string line_of(std::uintptr_t function, const place& at, const bytes& frame);

  const symbols& symbols_;
  resume_point follows_;
  source_lines& lines_;
  std::map<std::uintptr_t, std::optional<place>> places_;
  std::map<std::pair<std::uintptr_t, std::uint16_t>, std::string> known_;
};

}  // namespace weir::dump
