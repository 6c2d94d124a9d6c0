#include "file_cache.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "weir/http/detail/date.hpp"
#include "weir/http/detail/path.hpp"
#include "weir/http/directory.hpp"

namespace weir::http {

// O_NONBLOCK: opening a pipe without a writer must not block.
unique_fd open_beneath(int root, const std::string& path) noexcept {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  for (int tries = 0; tries < 8; ++tries) {  // EAGAIN: a name below the root changed meanwhile
    const long fd = ::syscall(SYS_openat2, root, path.empty() ? "." : path.c_str(), &how, sizeof how);
    if (fd >= 0) return unique_fd(static_cast<int>(fd));
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return unique_fd();
}

namespace {

constexpr std::uint64_t fresh = 1000;  // milliseconds
constexpr int out_of_descriptors = 503;

int status_for(int error_number) noexcept {
  switch (error_number) {
    case EACCES:
    case EPERM: return 403;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN: return out_of_descriptors;
    default: return 404;
  }
}

kept_file missing(int status) noexcept { return {.plain = {}, .gzip = {}, .status = status}; }

void read_whole(open_file& f) {
  std::string bytes(static_cast<std::size_t>(f.size), '\0');
  if (::pread(f.fd.get(), bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return;
  std::array<header, 5> more{
      header{"Last-Modified", f.modified_text}, {"ETag", f.etag}, {"Accept-Ranges", "bytes"}};
  std::size_t count = 3;
  if (f.varies) more[count++] = {"Vary", "Accept-Encoding"};
  if (!f.coding.empty()) more[count++] = {"Content-Encoding", f.coding};
  f.whole.emplace(200, f.type, bytes, std::span(more).first(count));
  f.fd.reset();
}

std::shared_ptr<open_file> describe(unique_fd fd, const struct stat& s, std::string_view path) {
  auto f = std::make_shared<open_file>();
  f->fd = std::move(fd);
  f->size = static_cast<std::uint64_t>(s.st_size);
  f->modified = s.st_mtim.tv_sec;
  f->etag = fmt::format("\"{:x}-{:x}-{:x}\"", s.st_mtim.tv_sec, s.st_mtim.tv_nsec, s.st_size);
  f->modified_text.resize(date_size);
  write_date(f->modified_text.data(), f->modified);
  f->type = content_type_of(path);
  return f;
}

kept_file open_file_of(int root, std::string_view sent) {
  auto path = file_path(sent);
  if (!path) return missing(400);
  if (path->empty() || path->ends_with('/')) *path += "index.html";
  unique_fd fd = open_beneath(root, *path);
  struct stat s{};
  if (!fd || ::fstat(fd.get(), &s) != 0) return missing(status_for(errno));
  if (S_ISDIR(s.st_mode)) return missing(301);
  if (!S_ISREG(s.st_mode)) return missing(404);
  const auto plain = describe(std::move(fd), s, *path);
  kept_file found;

  struct stat compressed{};
  if (unique_fd gz = open_beneath(root, *path + ".gz"); gz && ::fstat(gz.get(), &compressed) == 0 &&
                                                        S_ISREG(compressed.st_mode) &&
                                                        compressed.st_mtim.tv_sec >= s.st_mtim.tv_sec) {
    const auto gzip = describe(std::move(gz), compressed, *path);
    gzip->coding = "gzip";
    gzip->varies = plain->varies = true;
    if (gzip->size <= directory::small_file) read_whole(*gzip);
    found.gzip = gzip;
  }
  if (plain->size <= directory::small_file) read_whole(*plain);
  found.plain = plain;
  return found;
}

}  // namespace

void file_cache::make_room(std::uint64_t now) {
  if (count_ < directory::most_kept) return;
  count_ = 0;
  for (auto& [root, below] : kept_) {
    std::erase_if(below, [&](const auto& each) { return each.second.fresh_until <= now; });
    count_ += below.size();
  }
  if (count_ < directory::most_kept) return;
  kept_.clear();  // every kept file is fresh: there is no better victim
  count_ = 0;
}

void file_cache::forget_open() noexcept {
  for (auto& [root, below] : kept_)
    count_ -= std::erase_if(below, [](const auto& each) {
      const kept_file& kept = each.second;
      return kept.plain->fd || (kept.gzip && kept.gzip->fd);
    });
}

const kept_file& file_cache::find(int root, std::string_view path, spare_descriptors& spare) {
  const std::uint64_t now = home_.timers().now();
  files& below = kept_[root];
  const auto known = below.find(path);
  if (known != below.end() && now < known->second.fresh_until) return known->second;
  kept_file opened = open_file_of(root, path);
  if (opened.status == out_of_descriptors) {
    if (known != below.end()) {
      known->second.fresh_until = now + fresh;
      return known->second;
    }
    // What is closed here, an accept may take first.
    forget_open();
    spare.give_up();
    opened = open_file_of(root, path);
  } else {
    spare.restore();
  }
  if (known != below.end()) {
    below.erase(known);
    --count_;
  }
  if (opened.status != 200) return missing_ = std::move(opened);
  opened.fresh_until = now + fresh;
  make_room(now);  // `below` may be gone
  ++count_;
  return kept_[root].insert_or_assign(std::string(path), std::move(opened)).first->second;
}

}  // namespace weir::http
