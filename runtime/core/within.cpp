#include "weir/core/within.hpp"

namespace weir::detail {

void throw_timed_out(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& e) {
    if (e.code() != std::errc::operation_canceled) throw;
    throw std::system_error(std::make_error_code(std::errc::timed_out), "within");
  }
}

}  // namespace weir::detail
