#include "weir/http/request.hpp"

#include "weir/http/field_text.hpp"

namespace weir::http {

std::optional<std::string_view> request::find(std::string_view name) const noexcept {
  for (std::size_t i = 0; i < count_; ++i)
    if (const header h = (*this)[i]; same_name(h.name, name)) return h.value;
  return std::nullopt;
}

}  // namespace weir::http
