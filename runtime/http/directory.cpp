#include "weir/http/directory.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <array>

#include "file_cache.hpp"
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
  if (status != 301) return x.refuse(status);
  const std::string location = with_slash(x.request());
  const header to[]{{"Location", location}};
  x.send(301, "text/plain", fmt::format("{}\n", reason_of(301)), to);
}

// The file that answers the request in the coding that its client takes; or none, and why.
struct chosen_file {
  std::shared_ptr<const open_file> file;
  int status = 200;
};
chosen_file choose(const request& r, const std::shared_ptr<served_root>& root) {
  found_file passing;
  const found_file& found = core::here().local<file_cache>().find(root, r.path(), passing);
  return {found.gzip && accepts_gzip(r) ? found.gzip : found.plain, found.status};
}

task<> send_part(exchange x, const open_file* f, byte_range part) {
  if (f->whole)
    co_await x.write(f->whole->body().substr(part.first, part.size));
  else
    co_await x.write_file(f->fd.get(), static_cast<off_t>(part.first), static_cast<std::size_t>(part.size));
}

std::string range_text(byte_range part, std::uint64_t size) {
  return fmt::format("bytes {}-{}/{}", part.first, part.first + part.size - 1, size);
}

// Several parts, as multipart/byteranges. The boundary cannot be guessed, so no file can contain it on
// purpose.
task<> send_parts(exchange x, const open_file* f, const std::vector<byte_range>* parts,
                  file_headers* headers) {
  std::array<std::uint64_t, 2> drawn{};
  static_cast<void>(::getrandom(drawn.data(), sizeof drawn, 0));
  const std::string boundary = fmt::format("{:016x}{:016x}", drawn[0], drawn[1]);
  std::vector<std::string> heads;
  const std::string end = fmt::format("\r\n--{}--\r\n", boundary);
  std::uint64_t length = end.size();
  for (const byte_range part : *parts) {
    heads.push_back(fmt::format("\r\n--{}\r\nContent-Type: {}\r\nContent-Range: {}\r\n\r\n", boundary,
                                f->type, range_text(part, f->size)));
    length += heads.back().size() + part.size;
  }
  x.start(206, fmt::format("multipart/byteranges; boundary={}", boundary), length, headers->all());
  for (std::size_t i = 0; i < parts->size(); ++i) {
    co_await x.write(heads[i]);
    co_await send_part(x, f, (*parts)[i]);
  }
  co_await x.write(end);
}

}  // namespace

directory::directory(const std::string& root) : root_(std::make_shared<served_root>(root)) {}

task<> directory::send(exchange x) const {
  const request& r = x.request();
  const chosen_file chosen = choose(r, root_);
  if (chosen.status != 200) {
    answer_without_file(x, chosen.status);
    co_return;
  }
  const open_file* const f = chosen.file.get();
  const validators now{f->etag, f->modified};
  file_headers headers(*f);
  switch (condition_of(r, now)) {
    case condition::answer: break;
    case condition::not_modified: x.send(304, {}, {}, headers.all()); co_return;
    case condition::failed: x.refuse(412); co_return;
  }
  const byte_ranges asked = ranges_of(r, now, f->size);
  // What refuses has nothing of the file's headers: a coding would be one of the refusal's text.
  if (asked.kind == range_kind::unsatisfiable) {
    const std::string size = fmt::format("bytes */{}", f->size);
    const header of_size[]{{"Content-Range", size}};
    x.refuse(416, {}, of_size);
    co_return;
  }
  if (asked.kind == range_kind::whole && f->whole) {
    x.send(*f->whole);
    co_return;
  }
  if (!f->coding.empty()) headers.add({"Content-Encoding", f->coding});
  if (asked.parts.size() > 1) {
    task<> all = send_parts(x, f, &asked.parts, &headers);
    co_await std::move(all);
    co_return;
  }
  const bool whole = asked.kind == range_kind::whole;
  const byte_range part = whole ? byte_range{0, f->size} : asked.parts[0];
  std::string range;
  if (!whole) {
    range = range_text(part, f->size);
    headers.add({"Content-Range", range});
  }
  x.start(whole ? 200 : 206, f->type, part.size, headers.all());
  task<> bytes = send_part(x, f, part);
  co_await std::move(bytes);
}

}  // namespace weir::http
