#include "weir/http/detail/request_parser.hpp"

#include <llhttp/llhttp.h>

#include "weir/http/field_text.hpp"

namespace weir::http {

namespace {

// Of a target: a host, with or without a port, and no user.
bool is_authority(std::string_view text) noexcept {
  return is_host(text) && !text.empty() && text[0] != ':' && text.find('@') == text.npos;
}

}  // namespace

// What llhttp finds goes into the request. The whole head lies in one stretch of memory.
struct head_reading {
  request& into;
  std::size_t most_headers;
  bool complete = false;
  bool too_many = false;

  static head_reading& of(llhttp_t* p) { return *static_cast<head_reading*>(p->data); }
  std::uint16_t offset(const char* at) const { return static_cast<std::uint16_t>(at - into.base_); }

  static int on_url(llhttp_t* p, const char* at, std::size_t size) {
    request& r = of(p).into;
    if (r.target_size_ == 0) r.target_ = of(p).offset(at);
    r.target_size_ = static_cast<std::uint16_t>(r.target_size_ + size);
    return 0;
  }

  static int on_name(llhttp_t* p, const char* at, std::size_t size) {
    head_reading& self = of(p);
    request& r = self.into;
    const std::uint16_t from = self.offset(at);
    if (r.count_ != 0) {
      request::field& last = r.at(r.count_ - 1U);
      if (last.value_size == 0 && last.name + last.name_size == from) {  // the rest of the same name
        last.name_size = static_cast<std::uint16_t>(last.name_size + size);
        return 0;
      }
    }
    if (r.count_ == self.most_headers) {
      self.too_many = true;
      return -1;
    }
    if (!r.add({from, static_cast<std::uint16_t>(size), from, 0})) [[unlikely]] {
      self.too_many = true;
      return -1;
    }
    return 0;
  }

  static int on_value(llhttp_t* p, const char* at, std::size_t size) {
    request& r = of(p).into;
    request::field& last = r.at(r.count_ - 1U);
    if (last.value_size == 0) last.value = of(p).offset(at);
    last.value_size = static_cast<std::uint16_t>(of(p).offset(at) + size - last.value);
    return 0;
  }

  // llhttp gets the head only.
  static int on_complete(llhttp_t* p) {
    of(p).complete = true;
    return HPE_PAUSED;
  }

  // Spaces behind a value are none of it; each name ends at its colon.
  bool finish() {
    for (std::size_t i = 0; i < into.count_; ++i) {
      request::field& f = into.at(i);
      const char* const value = into.base_ + f.value;
      while (f.value_size != 0 && (value[f.value_size - 1] == ' ' || value[f.value_size - 1] == '\t'))
        --f.value_size;
      if (f.name_size == 0 || into.base_[f.name + f.name_size] != ':') return false;
    }
    return true;
  }

  // The method, and the path and query of the target: "/path?query", "http://host/path?query", "*".
  bool split(std::string_view bytes) {
    const std::string_view target = into.target();
    const std::string_view behind = bytes.substr(static_cast<std::size_t>(into.target_) + into.target_size_);
    if (into.target_ == 0 || !behind.starts_with(" HTTP/")) return false;
    into.method_ = static_cast<std::uint16_t>(into.target_ - 1);
    if (!is_token(into.method())) return false;  // or there are two spaces behind it
    std::size_t start = 0;
    if (!target.starts_with('/') && target != "*") {
      const std::size_t scheme = target.find("://");
      if (scheme == target.npos) return false;
      start = std::min(target.find_first_of("/?", scheme + 3), target.size());
      if (!is_authority(target.substr(scheme + 3, start - scheme - 3))) return false;
    }
    const std::size_t mark = std::min(target.find('?', start), target.size());
    into.path_ = static_cast<std::uint16_t>(into.target_ + start);
    into.path_size_ = static_cast<std::uint16_t>(mark - start);
    into.query_ = static_cast<std::uint16_t>(into.target_ + std::min(mark + 1, target.size()));
    into.query_size_ = static_cast<std::uint16_t>(target.size() - std::min(mark + 1, target.size()));
    return true;
  }

  refusal run(std::string_view bytes, bool whole) {
    static constexpr llhttp_settings_t settings = [] {
      llhttp_settings_t s{};
      s.on_url = on_url;
      s.on_header_field = on_name;
      s.on_header_value = on_value;
      s.on_headers_complete = on_complete;
      return s;
    }();
    into.base_ = bytes.data();
    into.count_ = into.target_size_ = 0;
    llhttp_t p;
    llhttp_init(&p, HTTP_REQUEST, &settings);
    p.data = this;
    const llhttp_errno error = llhttp_execute(&p, bytes.data(), bytes.size());
    if (too_many) return {431, "too many headers"};
    if (!complete && error != HPE_OK) return {status_for(bytes, error), p.reason};
    if (!whole) return {};
    if (!complete || !finish()) return {status_for(bytes, error), "the headers"};
    if (p.method == HTTP_CONNECT) return {501, "CONNECT"};
    if (!split(bytes)) return {400, "the request line"};
    into.minor_ = p.http_minor;
    return p.http_major == 1 ? refusal{} : refusal{505, "the version"};
  }

  // A well-formed request line with an unknown method or version gets its own status.
  static int status_for(std::string_view bytes, llhttp_errno error) {
    constexpr std::string_view form = " HTTP/1.1";
    const std::string_view line = bytes.substr(0, bytes.find('\r'));
    const std::string_view version = line.substr(line.size() - std::min(line.size(), form.size()));
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (!version.starts_with(" HTTP/") || !is_digit(version[6]) || version[7] != '.' || !is_digit(version[8]))
      return 400;
    if (version[6] != '1' || version[8] > '1') return 505;
    return error == HPE_INVALID_METHOD && is_token(line.substr(0, line.find(' '))) ? 501 : 400;
  }
};

request_parser::state request_parser::fail(request& into, int status, const char* reason) noexcept {
  into.clear();
  status_ = status;
  reason_ = reason;
  return state::failed;
}

request_parser::state request_parser::parse(std::string_view bytes, const limits& most,
                                            request& into) noexcept {
  if (scanner_.size() == 0 && skipped_ == 0 && bytes.starts_with("\r\n")) skipped_ = 2;
  bytes.remove_prefix(skipped_);
  const std::size_t longest = std::min(most.head, limits::most_head);
  const auto found = scanner_.scan(bytes.substr(0, longest));
  head_reading reading{.into = into, .most_headers = std::min(most.headers, limits::most_headers)};
  if (found == head_scanner::state::complete) {
    const std::string_view head = bytes.substr(0, scanner_.size());
    refusal no = reading.run(head, true);
    if (no.status == 0) no = read_framing(into, into.framing_);
    return no.status == 0 ? state::complete : fail(into, no.status, no.reason);
  }
  // A client that does not speak HTTP is refused after its first line: it may never send an empty one.
  if (scanner_.first_line() != 0 && !looked_at_first_line_) {
    looked_at_first_line_ = true;
    if (const refusal no = reading.run(bytes.substr(0, scanner_.first_line()), false); no.status != 0)
      return fail(into, no.status, no.reason);
  }
  if (found == head_scanner::state::invalid)
    return fail(into, 400, "a control character or a continued line");
  if (bytes.size() >= longest)
    return scanner_.first_line() == 0 ? fail(into, 414, "the request line is too long")
                                      : fail(into, 431, "the head is too long");
  if (scanner_.lines() > reading.most_headers + 1) return fail(into, 431, "too many headers");
  return state::incomplete;
}

}  // namespace weir::http
