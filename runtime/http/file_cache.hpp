#pragma once
// http: the files that a thread keeps open.

#include <cstdint>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "spare_descriptors.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/core/core.hpp"
#include "weir/http/fixed_response.hpp"

namespace weir::http {

// Opens the file or directory that `path` names below `root`; -1 with errno.
[[nodiscard]] unique_fd open_beneath(int root, const std::string& path) noexcept;

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
};

// What a path names. Shared: an answer in progress keeps its file when the cache drops it.
struct kept_file {
  std::shared_ptr<const open_file> plain;
  std::shared_ptr<const open_file> gzip;  // null: there is none
  std::uint64_t fresh_until = 0;          // on the core's clock
  int status = 200;                       // or why there is no file; 301: a directory without its slash
};

// Thread: its core's. Core-local: core.local<file_cache>().
class file_cache {
 public:
  explicit file_cache(core& home) noexcept : home_(home) {}

  // The files that `path`, as it was sent, names below `root`, checked at most a second ago; or longer ago,
  // if there is no descriptor to check them. For files that were not kept, those that no answer needs are
  // closed then, and a spare descriptor is used. Lifetime: valid until the next call.
  const kept_file& find(int root, std::string_view path, spare_descriptors& spare);

 private:
  struct hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>()(text);
    }
  };
  using files = std::unordered_map<std::string, kept_file, hash, std::equal_to<>>;

  void make_room(std::uint64_t now);
  void forget_open() noexcept;

  core& home_;
  std::unordered_map<int, files> kept_;  // by root
  std::size_t count_ = 0;
  kept_file missing_;
};

}  // namespace weir::http
