#include "weir/http/exchange.hpp"

#include "message.hpp"

namespace weir::http {

const http::request& exchange::request() const noexcept { return message_->request(); }
connection& exchange::client() const noexcept { return message_->client(); }
task<std::string_view> exchange::read() const { return message_->read(); }
task<std::string_view> exchange::body(std::uint64_t most) const { return message_->body(most); }
void exchange::send(int status, std::string_view content_type, std::string_view text,
                    std::span<const header> more) const {
  message_->send(status, content_type, text, more);
}
void exchange::send(const fixed_response& r) const { message_->send(r); }
void exchange::start(int status, std::string_view content_type, std::optional<std::uint64_t> length,
                     std::span<const header> more) const {
  message_->start(status, content_type, length, more);
}
task<bool> exchange::write(std::string_view text) const { return message_->write(text); }
task<bool> exchange::flush() const { return message_->flush(); }
task<bool> exchange::write_file(int file, off_t offset, std::size_t count) const {
  return message_->write_file(file, offset, count);
}
void exchange::close_afterwards() const noexcept { message_->close_afterwards(); }

}  // namespace weir::http
