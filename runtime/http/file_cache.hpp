#pragma once
// http: the files that a thread keeps, in memory or open.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "open_file.hpp"
#include "served_root.hpp"
#include "weir/base/detail/idle_descriptors.hpp"
#include "weir/core/core.hpp"

namespace weir::http {

// Problem: to open a file costs more than to send it, and every descriptor that is kept for later is one
// that no client can have.
//
// Files are forgotten after a time without use, when their last name is gone, and at once when the process
// has no descriptor left. A loop looks once a second while it keeps any; a thread that is no loop cannot
// look: it keeps no descriptor, and few files. All caches of a process keep at most a share of its
// descriptors.
// Thread: its core's. Core-local: core.local<file_cache>().
class file_cache {
 public:
  explicit file_cache(core& home);
  file_cache(const file_cache&) = delete;
  file_cache& operator=(const file_cache&) = delete;
  ~file_cache();

  // What `path`, as it was sent, names below `root`, checked at most a second ago; or longer ago, if there is
  // no descriptor to check it. What is not kept is put into `passing`. Lifetime: valid until the next call.
  const found_file& find(const std::shared_ptr<served_root>& root, std::string_view path,
                         found_file& passing);

 private:
  struct kept_file {
    found_file file;
    std::uint64_t fresh_until = 0;  // on the core's clock, as all of these
    std::uint64_t used = 0;
  };
  struct hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>()(text);
    }
  };
  using files = std::unordered_map<std::string, kept_file, hash, std::equal_to<>>;
  struct place {
    std::shared_ptr<served_root> root;  // keeps the key its own
    std::shared_ptr<const served_root::opened> directory;
    std::uint64_t fresh_until = 0;
    files below;
  };
  struct look_timer : io::timer {
    explicit look_timer(file_cache& c) noexcept : cache(&c) {}
    file_cache* cache;
  };

  place& place_of(const std::shared_ptr<served_root>& root, std::uint64_t now);
  static found_file open(place& at, std::string_view path, bool is_kept);
  [[nodiscard]] bool take_share(const found_file& f);
  bool drop_oldest(bool (*of)(const kept_file&));
  void look();
  void forget_open() noexcept;
  void release();

  core& home_;
  std::unordered_map<const served_root*, place> kept_;
  std::size_t count_ = 0;
  look_timer look_{*this};
  std::optional<detail::idle_descriptors> idle_;
};

}  // namespace weir::http
