#pragma once
// http: a file that is served, with all that its answers say of it.

#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "weir/base/unique_fd.hpp"
#include "weir/http/fixed_response.hpp"

namespace weir::http {

// A count of the descriptors that the caches of this process may keep: a share of RLIMIT_NOFILE, so that most
// are left for connections.
// Thread: any.
class kept_descriptor {
 public:
  kept_descriptor() noexcept = default;
  kept_descriptor(kept_descriptor&& other) noexcept : held_(std::exchange(other.held_, false)) {}
  kept_descriptor& operator=(kept_descriptor&& other) noexcept {
    std::swap(held_, other.held_);
    return *this;
  }
  ~kept_descriptor();

  // One of the share; false: all are taken.
  [[nodiscard]] bool take() noexcept;

 private:
  bool held_ = false;
};

// One file, as it was when it was opened.
struct open_file {
  unique_fd fd;  // closed once it is in memory
  std::uint64_t size = 0;
  std::time_t modified = 0;
  std::string etag;
  std::string modified_text;
  std::string_view type;
  std::string_view coding;              // "gzip", or nothing
  bool varies = false;                  // there is another coding of the same
  std::optional<fixed_response> whole;  // of a small file: the answer without a range
  mutable kept_descriptor kept;         // while a cache keeps it, and until it is closed

  // Its last name is gone, so it cannot be opened again.
  [[nodiscard]] bool is_unlinked() const noexcept;
};

// What a path names. Shared: an answer in progress keeps its file when the cache drops it.
struct found_file {
  std::shared_ptr<const open_file> plain;
  std::shared_ptr<const open_file> gzip;  // null: there is none
  int status = 200;                       // or why there is no file; 301: a directory without its slash

  [[nodiscard]] bool has_descriptor() const noexcept { return (plain && plain->fd) || (gzip && gzip->fd); }
};

// Of found_file: a file could not be opened for want of a descriptor or of memory.
inline constexpr int out_of_descriptors = 503;

// The file that `path`, as it was sent, names below `root`.
[[nodiscard]] found_file find_file(int root, std::string_view path);

}  // namespace weir::http
