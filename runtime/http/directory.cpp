#include "weir/http/directory.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <array>
#include <cerrno>

#include "file_cache.hpp"
#include "weir/base/error.hpp"
#include "weir/http/detail/conditions.hpp"
#include "weir/http/status.hpp"

namespace weir::http {

namespace {

// The headers of a file's answer, at most as many as there are.
class file_headers {
 public:
  explicit file_headers(const open_file& f) {
    add({"Last-Modified", f.modified_text});
    add({"ETag", f.etag});
    add({"Accept-Ranges", "bytes"});
    if (f.varies) add({"Vary", "Accept-Encoding"});
  }
  void add(header h) { all_[count_++] = h; }
  [[nodiscard]] std::span<const header> all() const { return std::span(all_).first(count_); }

 private:
  std::array<header, 8> all_{};
  std::size_t count_ = 0;
};

// One slash at the front: "//host/" would be another site, and some take "/\host/" for the same.
std::string with_slash(const request& r) {
  std::string_view path = r.path();
  path.remove_prefix(std::min(path.find_first_not_of("/\\"), path.size()));
  return fmt::format("/{}/{}{}", path, r.query().empty() ? "" : "?", r.query());
}

void answer_without_file(const exchange& x, int status) {
  const std::string text = fmt::format("{}\n", reason_of(status));
  if (status != 301) return x.send(status, "text/plain", text);
  const std::string location = with_slash(x.request());
  const header to[]{{"Location", location}};
  x.send(301, "text/plain", text, to);
}

}  // namespace

directory::directory(const std::string& root)
    : root_(::open(root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)) {
  if (!root_) throw_system_error(errno, "open directory " + root);
  // A kernel that is too old, or a sandbox that does not know it.
  if (!open_beneath(root_.get(), ".")) throw_system_error(errno, "openat2 in " + root);
  spare_ = std::make_shared<spare_descriptors>(root_.get());
}

task<> directory::send(exchange x) const {
  const request& r = x.request();
  const kept_file& kept = core::here().local<file_cache>().find(root_.get(), r.path(), *spare_);
  if (kept.status != 200) {
    answer_without_file(x, kept.status);
    co_return;
  }
  const std::shared_ptr<const open_file> f = kept.gzip && accepts_gzip(r) ? kept.gzip : kept.plain;
  const validators now{f->etag, f->modified};
  file_headers headers(*f);
  switch (condition_of(r, now)) {
    case condition::answer: break;
    case condition::not_modified: x.send(304, {}, {}, headers.all()); co_return;
    case condition::failed: answer_without_file(x, 412); co_return;
  }
  const byte_range part = range_of(r, now, f->size);
  if (part.kind == range_kind::whole && f->whole) {
    x.send(*f->whole);
    co_return;
  }
  if (!f->coding.empty()) headers.add({"Content-Encoding", f->coding});
  std::string range_text;
  if (part.kind == range_kind::unsatisfiable) {
    range_text = fmt::format("bytes */{}", f->size);
    headers.add({"Content-Range", range_text});
    x.send(416, "text/plain", "Range Not Satisfiable\n", headers.all());
    co_return;
  }
  const bool whole = part.kind == range_kind::whole;
  if (!whole) {
    range_text = fmt::format("bytes {}-{}/{}", part.first, part.first + part.size - 1, f->size);
    headers.add({"Content-Range", range_text});
  }
  if (f->whole) {
    x.send(206, f->type, f->whole->body().substr(part.first, part.size), headers.all());
    co_return;
  }
  x.start(whole ? 200 : 206, f->type, part.size, headers.all());
  co_await x.write_file(f->fd.get(), static_cast<off_t>(part.first), static_cast<std::size_t>(part.size));
}

}  // namespace weir::http
