#include "file_cache.hpp"

#include "weir/http/directory.hpp"

namespace weir::http {

namespace {

constexpr std::uint64_t fresh = 1000;  // milliseconds
constexpr std::uint64_t unused = std::chrono::milliseconds(directory::kept_unused).count();
constexpr std::size_t most_elsewhere = 16;  // files that a thread keeps which is no loop

}  // namespace

file_cache::file_cache(core& home) : home_(home) {
  if (home_.is_loop()) idle_.emplace([this] { release(); });
  look_.fire = [](io::timer& t) noexcept { static_cast<look_timer&>(t).cache->look(); };
}

file_cache::~file_cache() { home_.timers().disarm(look_); }

// Any thread, while the cache lives: its destructor waits for this.
void file_cache::release() {
  if (core::current() == &home_) return forget_open();
  core* const home = &home_;
  home_.post([home] { home->local<file_cache>().forget_open(); });
}

void file_cache::forget_open() noexcept {
  for (auto& [root, at] : kept_)
    count_ -= std::erase_if(at.below, [](const auto& each) { return each.second.file.has_descriptor(); });
}

void file_cache::look() {
  const std::uint64_t now = home_.timers().now();
  const auto is_over = [now](const kept_file& k) {
    const found_file& f = k.file;
    return now >= k.used + unused || f.plain->is_unlinked() || (f.gzip && f.gzip->is_unlinked());
  };
  for (auto& [root, at] : kept_)
    count_ -= std::erase_if(at.below, [&](const auto& each) { return is_over(each.second); });
  std::erase_if(kept_, [now](const auto& each) {
    return each.second.below.empty() && now >= each.second.fresh_until + unused;
  });
  if (!kept_.empty()) home_.timers().arm_at(look_, now + fresh);
}

// A directory is looked at once a second. In a new one the names mean other files.
file_cache::place& file_cache::place_of(const std::shared_ptr<served_root>& root, std::uint64_t now) {
  place& at = kept_[root.get()];
  if (now < at.fresh_until) [[likely]]
    return at;
  if (!look_.armed() && home_.is_loop()) home_.timers().arm_at(look_, now + fresh);
  at.root = root;
  at.fresh_until = now + fresh;
  auto directory = root->look();
  if (directory == at.directory) return at;
  at.directory = std::move(directory);
  count_ -= at.below.size();
  at.below.clear();
  return at;
}

// Forgets the file of that kind that was not used for the longest time. False: there is none.
bool file_cache::drop_oldest(bool (*of)(const kept_file&)) {
  files* among = nullptr;
  files::iterator oldest;
  for (auto& [root, at] : kept_)
    for (auto each = at.below.begin(); each != at.below.end(); ++each) {
      if (!of(each->second) || (among != nullptr && each->second.used >= oldest->second.used)) continue;
      among = &at.below;
      oldest = each;
    }
  if (among == nullptr) return false;
  among->erase(oldest);
  --count_;
  return true;
}

// Whether the descriptors of a file may be kept.
bool file_cache::take_share(const found_file& f) {
  if (!f.has_descriptor()) return true;
  if (!home_.is_loop()) return false;
  for (const auto& each : {f.plain.get(), f.gzip.get()})
    while (each != nullptr && each->fd && !each->kept.take())
      if (!drop_oldest([](const kept_file& k) { return k.file.has_descriptor(); })) return false;
  return true;
}

// With no descriptor left, those that no answer needs are closed, and at last a spare one is used.
found_file file_cache::open(place& at, std::string_view path, bool is_kept) {
  const int root = at.directory->fd.get();
  found_file found = find_file(root, path);
  if (found.status != out_of_descriptors) {
    at.root->spare().restore();
    return found;
  }
  detail::release_idle_descriptors();
  found = find_file(root, path);
  if (found.status != out_of_descriptors || is_kept) return found;
  at.root->spare().give_up();  // what was closed before, an accept may have taken
  return find_file(root, path);
}

const found_file& file_cache::find(const std::shared_ptr<served_root>& root, std::string_view path,
                                   found_file& passing) {
  const std::uint64_t now = home_.timers().now();
  place& at = place_of(root, now);
  if (const auto known = at.below.find(path); known != at.below.end()) {
    kept_file& k = known->second;
    k.used = now;
    if (now < k.fresh_until) [[likely]]
      return k.file;
    found_file before = std::move(k.file);
    at.below.erase(known);
    --count_;
    passing = open(at, path, true);
    if (passing.status == out_of_descriptors) return passing = std::move(before);
  } else {
    passing = open(at, path, false);
  }
  if (passing.status != 200 || !take_share(passing)) return passing;
  if (count_ >= (home_.is_loop() ? directory::most_kept : most_elsewhere))
    drop_oldest([](const kept_file&) { return true; });
  ++count_;
  kept_file kept{.file = std::exchange(passing, {}), .fresh_until = now + fresh, .used = now};
  return at.below.insert_or_assign(std::string(path), std::move(kept)).first->second.file;
}

}  // namespace weir::http
