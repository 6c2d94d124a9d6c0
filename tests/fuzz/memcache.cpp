// Whatever a client of the cache sends, in whatever pieces: the same replies as whole, and no byte beyond it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "session.hpp"

namespace {

// What is said to `text` when it comes in pieces of `piece` bytes.
std::string replies_to(std::string_view text, std::size_t piece) {
  cache::service service({.store = {.item_limit = 1 << 16, .shards = 1}});
  weir::write_buffer out;
  cache::session session(service, out);
  const cache::instant now{1'000'000'000, 0};
  std::string said;
  std::string unread;
  for (;;) {
    std::string_view left = unread;
    const cache::need next = session.work(left, now);
    unread.erase(0, unread.size() - left.size());
    said += out.text();
    out.clear();
    if (next.what == cache::need::kind::end) return said;
    if (next.what == cache::need::kind::flush) continue;
    if (next.what == cache::need::kind::download) {
      said += session.download();
      said += cache::session::end_of_line;
      session.downloaded();
      continue;
    }
    if (text.empty()) return said;
    if (next.what == cache::need::kind::upload) {
      const auto space = session.upload_space();
      const std::size_t count = std::min({space.size(), text.size(), piece});
      std::copy_n(text.data(), count, reinterpret_cast<char*>(space.data()));
      session.uploaded(count);
      text.remove_prefix(count);
      continue;
    }
    const std::string_view part = text.substr(0, piece);
    unread += part;
    text.remove_prefix(part.size());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.find("stats") != std::string_view::npos) return 0;  // they tell the time
  const std::string whole = replies_to(text, std::max<std::size_t>(size, 1));
  if (replies_to(text, 1) != whole || replies_to(text, 7) != whole) std::abort();
  return 0;
}
