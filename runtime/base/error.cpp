#include "weir/base/error.hpp"

#include <cstring>
#include <exception>
#include <new>
#include <string>

namespace weir {
namespace {

class weir_category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "weir"; }
  std::string message(int value) const override {
    switch (static_cast<errc>(value)) {
      case errc::truncated: return "the stream ended inside a message";
      case errc::message_too_large: return "message longer than its limit";
      case errc::not_on_a_core: return "awaited on a thread that runs no core";
      case errc::overloaded: return "the queue is full";
    }
    return "unknown error " + std::to_string(value);
  }
};

}  // namespace

const std::error_category& category() noexcept {
  alignas(weir_category) static std::byte place[sizeof(weir_category)];
  static const auto& instance =
      *new (place) weir_category;  // never destroyed: errors are compared at exit, too
  return instance;
}

std::error_code make_error_code(errc e) noexcept { return {static_cast<int>(e), category()}; }

const char* text_of(int error) noexcept {
  const char* const known = ::strerrordesc_np(error);
  return known != nullptr ? known : "unknown error";
}

const char* text_of_current_exception() noexcept {
  try {
    throw;
  } catch (const std::exception& e) {
    return e.what();  // lives as long as the exception, which the caller's catch block holds
  } catch (...) {
    return "an exception of unknown type";
  }
}

void throw_system_error(int error, std::string_view what) {
  throw std::system_error(error, std::generic_category(), std::string(what));
}

}  // namespace weir
