#pragma once
// observe: a counter of a program's own.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weir {

// Something that only grows, exported at /metrics with all else that a server counts:
//
//   weir::counter orders("shop_orders", "Orders that were taken.");   // shop_orders_total
//   orders.add();
//
// Its name is in lower case, with the program's own name before and without "_total" at its end. Two counters
// of a name are the same. In a process pool it is one for all workers, and outlives them; it may be made
// before the server starts or at any time later.
// Thread: any. add() takes no memory and no lock: a few nanoseconds. Lifetime: a value; copies are the same
// counter. Errors: std::invalid_argument for a name that cannot be one, std::length_error beyond 256 counters
// and labels of counters in a program.
class counter {
 public:
  counter(std::string_view name, std::string_view help);
  // With a label: one of those of labelled<counter>.
  counter(std::string_view name, std::string_view help, std::string_view label, std::string_view value);

  void add(std::uint64_t n = 1) const noexcept;
  // Of all processes.
  [[nodiscard]] std::uint64_t value() const noexcept;

 private:
  std::size_t place_;
};

}  // namespace weir
