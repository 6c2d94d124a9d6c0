#include "weir/http/fixed_response.hpp"

#include <fmt/format.h>

#include <stdexcept>

#include "head_text.hpp"
#include "weir/http/detail/date.hpp"

namespace weir::http {

fixed_response::fixed_response(int status, std::string_view content_type, std::string_view body,
                               std::span<const header> more)
    : status_(status), text_(status_text(status).text()) {
  if (status < 200) throw std::invalid_argument(fmt::format("status {} is no answer", status));
  text_ += "Date: ";
  date_at_ = text_.size();
  text_.append(date_size, ' ');
  text_ += "\r\n";
  headers_at_ = text_.size();
  check_headers(content_type, more);
  if (!content_type.empty()) text_ += fmt::format("Content-Type: {}\r\n", content_type);
  for (const header& h : more) text_ += fmt::format("{}: {}\r\n", h.name, h.value);
  if (has_body(status)) text_ += fmt::format("Content-Length: {}\r\n", body.size());
  text_ += "\r\n";
  body_at_ = text_.size();
  if (has_body(status)) text_ += body;
}

}  // namespace weir::http
