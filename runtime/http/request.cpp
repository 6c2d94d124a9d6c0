#include "weir/http/request.hpp"

#include <new>

#include "weir/http/field_text.hpp"

namespace weir::http {

std::optional<std::string_view> request::find(std::string_view name) const noexcept {
  for (std::size_t i = 0; i < count_; ++i)
    if (const header h = (*this)[i]; same_name(h.name, name)) return h.value;
  return std::nullopt;
}

bool request::add_more(const field& f) noexcept {
  try {
    more_.resize(count_ - inline_fields);
    more_.push_back(f);
  } catch (const std::bad_alloc&) {
    return false;
  }
  ++count_;
  return true;
}

}  // namespace weir::http
