#include "weir/http/exchange.hpp"

#include "message.hpp"
#include "weir/http/field_text.hpp"
#include "weir/http/status.hpp"

namespace weir::http {

namespace {

task<form> form_of(message* m, std::uint64_t most) {
  const std::string_view type = m->request().find("content-type").value_or("");
  if (!same_name(trimmed(type.substr(0, type.find(';'))), "application/x-www-form-urlencoded"))
    throw error(415);
  const std::string_view text = co_await m->body(most);
  form out(text);
  co_return out;
}

}  // namespace

const http::request& exchange::request() const noexcept { return message_->request(); }
connection& exchange::client() const noexcept { return message_->client(); }
std::string exchange::parameter(std::string_view name) const { return message_->parameter(name); }
std::optional<std::string> exchange::query(std::string_view name) const {
  const http::form fields(request().query());
  const auto found = fields.find(name);
  return found ? std::optional<std::string>(*found) : std::nullopt;
}
std::optional<std::string_view> exchange::cookie(std::string_view name) const noexcept {
  const http::request& r = request();
  for (std::size_t i = 0; i < r.size(); ++i)
    if (same_name(r[i].name, "cookie"))
      if (const auto found = cookie_value(r[i].value, name)) return found;
  return std::nullopt;
}
std::string_view exchange::request_id() const noexcept { return message_->request_id(); }
task<std::string_view> exchange::read() const { return message_->read(); }
task<std::string_view> exchange::body(std::uint64_t most) const { return message_->body(most); }
task<form> exchange::form(std::uint64_t most) const { return form_of(message_, most); }
void exchange::add_header(std::string_view name, std::string_view value) const {
  message_->add_header(name, value);
}
void exchange::send(int status, std::string_view content_type, std::string_view text,
                    std::span<const header> more) const {
  message_->send(status, content_type, text, more);
}
void exchange::send(const fixed_response& r) const { message_->send(r); }
void exchange::refuse(int status, std::string_view text, std::span<const header> more) const {
  message_->refuse(status, text, more);
}
void exchange::start(int status, std::string_view content_type, std::optional<std::uint64_t> length,
                     std::span<const header> more) const {
  message_->start(status, content_type, length, more);
}
task<bool> exchange::write(std::string_view text) const { return message_->write(text); }
task<bool> exchange::flush() const { return message_->flush(); }
task<bool> exchange::write_file(int file, off_t offset, std::size_t count) const {
  return message_->write_file(file, offset, count);
}
task<upgraded> exchange::upgrade(std::string_view protocol, std::span<const header> more) const {
  return message_->upgrade(protocol, more);
}
void exchange::close_afterwards() const noexcept { message_->close_afterwards(); }

}  // namespace weir::http
