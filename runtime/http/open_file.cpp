#include "open_file.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "served_root.hpp"
#include "weir/http/detail/date.hpp"
#include "weir/http/detail/path.hpp"
#include "weir/http/directory.hpp"

namespace weir::http {

namespace {

constexpr ::rlim_t share = 8;  // of RLIMIT_NOFILE: an eighth
std::atomic<::rlim_t> kept_in_process{0};

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

found_file missing(int status) noexcept { return {.plain = {}, .gzip = {}, .status = status}; }

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

// Two codings of one file may have one size and one time; they are different bytes all the same.
std::shared_ptr<open_file> describe(unique_fd fd, const struct stat& s, std::string_view path,
                                    std::string_view coding) {
  auto f = std::make_shared<open_file>();
  f->fd = std::move(fd);
  f->size = static_cast<std::uint64_t>(s.st_size);
  f->modified = s.st_mtim.tv_sec;
  f->etag = fmt::format("\"{:x}-{:x}-{:x}{}{}\"", s.st_mtim.tv_sec, s.st_mtim.tv_nsec, s.st_size,
                        coding.empty() ? "" : "-", coding);
  f->modified_text.resize(date_size);
  write_date(f->modified_text.data(), f->modified);
  f->type = content_type_of(path);
  f->coding = coding;
  return f;
}

}  // namespace

kept_descriptor::~kept_descriptor() {
  if (held_) kept_in_process.fetch_sub(1, std::memory_order_relaxed);
}

bool kept_descriptor::take() noexcept {
  if (held_) return true;
  ::rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  if (kept_in_process.fetch_add(1, std::memory_order_relaxed) < limit.rlim_cur / share) return held_ = true;
  kept_in_process.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

bool open_file::is_unlinked() const noexcept {
  struct stat s{};
  return fd && ::fstat(fd.get(), &s) == 0 && s.st_nlink == 0;
}

found_file find_file(int root, std::string_view sent) {
  auto path = file_path(sent);
  if (!path) return missing(400);
  if (path->empty() || path->ends_with('/')) *path += "index.html";
  unique_fd fd = open_beneath(root, *path);
  struct stat s{};
  if (!fd || ::fstat(fd.get(), &s) != 0) return missing(status_for(errno));
  if (S_ISDIR(s.st_mode)) return missing(301);
  if (!S_ISREG(s.st_mode)) return missing(404);
  const auto plain = describe(std::move(fd), s, *path, {});
  found_file found;

  struct stat compressed{};
  if (unique_fd gz = open_beneath(root, *path + ".gz"); gz && ::fstat(gz.get(), &compressed) == 0 &&
                                                        S_ISREG(compressed.st_mode) &&
                                                        compressed.st_mtim.tv_sec >= s.st_mtim.tv_sec) {
    const auto gzip = describe(std::move(gz), compressed, *path, "gzip");
    gzip->varies = plain->varies = true;
    if (gzip->size <= directory::small_file) read_whole(*gzip);
    found.gzip = gzip;
  }
  if (plain->size <= directory::small_file) read_whole(*plain);
  found.plain = plain;
  return found;
}

}  // namespace weir::http
