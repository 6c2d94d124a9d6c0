#pragma once
// dump: the source lines of this program.

#include <cstdint>
#include <memory>
#include <string>

namespace weir::dump {

// Reads the debug information of this program with libdw, if the program has any and the library is
// installed: it is loaded when it is first needed, so a server that is not looked into does not have it.
// Thread: one at a time.
class source_lines {
 public:
  source_lines();
  source_lines(const source_lines&) = delete;
  source_lines& operator=(const source_lines&) = delete;
  ~source_lines();

  // "orders.cpp:88" for an address of this program here. What was inlined from a header of the system or of
  // weir stands at the line that calls it. Empty if it is not known. Errors: none.
  [[nodiscard]] std::string at(std::uintptr_t address);
  // The same in the function itself: what was inlined from any other stands at the line that calls it.
  [[nodiscard]] std::string outermost_at(std::uintptr_t address);

 private:
  enum class take : std::uint8_t { first_own, outermost };
  [[nodiscard]] std::string find(std::uintptr_t address, take which);

  struct library;
  struct file;
  std::unique_ptr<library> library_;
  std::unique_ptr<file> file_;
};

}  // namespace weir::dump
