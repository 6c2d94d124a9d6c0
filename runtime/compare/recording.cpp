#include "weir/compare/detail/recording.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <concepts>
#include <cstring>
#include <map>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "weir/base/error.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/compare/detail/crc32c.hpp"

namespace weir::recording {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they are");

template <std::integral T>
void put(std::string& to, T value) {
  std::array<char, sizeof value> bytes;
  std::memcpy(bytes.data(), &value, sizeof value);
  to.append(bytes.data(), bytes.size());
}

template <std::integral T>
T get(std::string_view from, std::size_t at) {
  T value;
  std::memcpy(&value, from.data() + at, sizeof value);
  return value;
}

enum class block_kind : std::uint16_t { session, events };

std::string head_of(block_kind what, std::uint64_t session, std::uint32_t number, std::string_view payload) {
  std::string out(magic);
  put(out, version);
  put(out, static_cast<std::uint16_t>(what));
  put(out, static_cast<std::uint32_t>(payload.size()));
  put(out, session);
  put(out, number);
  put(out, crc32c(payload.data(), payload.size()));
  put(out, crc32c(out.data(), out.size()));
  return out;
}

// What is read, block by block.
class parser {
 public:
  explicit parser(std::string_view text) : text_(text) {}

  content run() {
    if (text_.substr(0, magic.size()) != magic) throw std::runtime_error("is no recording of weir");
    if (text_.size() >= 10 && get<std::uint16_t>(text_, 8) != version)
      throw std::runtime_error(fmt::format("is a recording of version {}, and this program reads version {}",
                                           get<std::uint16_t>(text_, 8), version));
    while (at_ < text_.size()) next();
    finish();
    return std::move(out_);
  }

 private:
  struct session {
    std::uint32_t next = 0;
    std::chrono::microseconds offset{};
    bool is_known = false;
    std::map<std::uint32_t, std::size_t> open;  // number of a connection -> its place
  };

  // Goes on at the next block that begins as one.
  void skip(const std::string& why) {
    const std::size_t from = at_;
    at_ = std::min(text_.find(magic, at_ + 1), text_.size());
    out_.problems.push_back(fmt::format("{} bytes at {} are not used: {}", at_ - from, from, why));
    // What was lost may have been of any connection that is open.
    for (auto& [id, each] : sessions_) each.open.clear();
  }

  void next() {
    const std::string_view head = text_.substr(at_, head_size);
    if (head.size() < head_size) return skip("the file ends in the head of a block");
    if (head.substr(0, magic.size()) != magic) return skip("no block begins there");
    if (crc32c(head.data(), 32) != get<std::uint32_t>(head, 32))
      return skip("the head of a block has a wrong checksum");
    if (get<std::uint16_t>(head, 8) != version)
      return skip(fmt::format("a block of version {}", get<std::uint16_t>(head, 8)));
    const auto size = get<std::uint32_t>(head, 12);
    const std::string_view payload = text_.substr(at_ + head_size, size);
    if (payload.size() < size) return skip("the file ends in the middle of a block");
    if (crc32c(payload.data(), size) != get<std::uint32_t>(head, 28))
      return skip("a block has a wrong checksum");
    session& s = sessions_[get<std::uint64_t>(head, 16)];
    const auto number = get<std::uint32_t>(head, 24);
    if (number != s.next) {
      out_.problems.push_back(
          fmt::format("blocks {} to {} of a session are missing before {}", s.next, number - 1, at_));
      s.open.clear();
    }
    s.next = number + 1;
    at_ += head_size + size;
    if (static_cast<block_kind>(get<std::uint16_t>(head, 10)) == block_kind::session)
      begin_session(s, payload);
    else if (s.is_known)
      take_events(get<std::uint64_t>(head, 16), s, payload);
  }

  void begin_session(session& s, std::string_view payload) {
    if (payload.size() < 12) return;
    const std::chrono::microseconds began(get<std::int64_t>(payload, 0));
    if (!first_) first_ = began;
    s.offset = began - *first_;
    s.is_known = true;
    const auto flags = get<std::uint32_t>(payload, 8);
    out_.answers = out_.answers || (flags & 1) != 0;
    out_.redacted = out_.redacted || (flags & 2) != 0;
  }

  void take_events(std::uint64_t id, session& s, std::string_view payload) {
    while (payload.size() >= event_head_size) {
      const auto what = static_cast<event::kind>(payload[0]);
      const auto number = get<std::uint32_t>(payload, 1);
      const auto at = s.offset + std::chrono::microseconds(get<std::int64_t>(payload, 5));
      const auto size =
          std::min<std::size_t>(get<std::uint32_t>(payload, 13), payload.size() - event_head_size);
      take(id, s, what, number, at, payload.substr(event_head_size, size));
      payload.remove_prefix(event_head_size + size);
    }
  }

  void take(std::uint64_t id, session& s, event::kind what, std::uint32_t number,
            std::chrono::microseconds at, std::string_view bytes) {
    using ending = conversation::ending;
    if (what == event::kind::begin) {
      s.open[number] = out_.conversations.size();
      conversation& made = out_.conversations.emplace_back();
      made.session = id;
      made.number = number;
      made.began = at;
      return;
    }
    const auto found = s.open.find(number);
    if (found == s.open.end()) return;  // its beginning, or a piece of it, is lost
    conversation& c = out_.conversations[found->second];
    switch (what) {
      case event::kind::received: c.pieces.push_back({true, at, std::string(bytes)}); break;
      case event::kind::sent: c.pieces.push_back({false, at, std::string(bytes)}); break;
      case event::kind::input_ended:
      case event::kind::input_reset:
        if (c.ended != ending::unknown) break;
        c.ended = what == event::kind::input_ended ? ending::by_client : ending::by_reset;
        c.ended_at = at;
        break;
      case event::kind::end:
        if (c.ended == ending::unknown) {
          c.ended = ending::by_server;
          c.ended_at = at;
        }
        s.open.erase(found);
        break;
      case event::kind::begin: break;
    }
  }

  void finish() {
    std::sort(out_.conversations.begin(), out_.conversations.end(),
              [](const conversation& a, const conversation& b) {
                return std::tie(a.began, a.session, a.number) < std::tie(b.began, b.session, b.number);
              });
  }

  std::string_view text_;
  std::size_t at_ = 0;
  content out_;
  std::optional<std::chrono::microseconds> first_;
  std::map<std::uint64_t, session> sessions_;
};

}  // namespace

void append_event_head(std::string& payload, event::kind what, std::uint32_t connection,
                       std::chrono::microseconds at, std::size_t size) {
  std::array<char, event_head_size> head;
  const auto time = static_cast<std::int64_t>(at.count());
  const auto length = static_cast<std::uint32_t>(size);
  head[0] = static_cast<char>(what);
  std::memcpy(&head[1], &connection, sizeof connection);
  std::memcpy(&head[5], &time, sizeof time);
  std::memcpy(&head[13], &length, sizeof length);
  payload.append(head.data(), head.size());
}

void append_event(std::string& payload, event::kind what, std::uint32_t connection,
                  std::chrono::microseconds at, std::string_view bytes) {
  append_event_head(payload, what, connection, at, bytes.size());
  payload.append(bytes);
}

std::string session_block(std::uint64_t session, const session_facts& facts) {
  std::string payload;
  put(payload, facts.began);
  put(payload, (facts.answers ? 1U : 0U) | (facts.redacted ? 2U : 0U));
  return head_of(block_kind::session, session, 0, payload) + payload;
}

std::string events_head(std::uint64_t session, std::uint32_t number, std::string_view payload) {
  return head_of(block_kind::events, session, number, payload);
}

std::string events_block(std::uint64_t session, std::uint32_t number, std::string_view payload) {
  return events_head(session, number, payload).append(payload);
}

content parse(std::string_view text) { return parser(text).run(); }

content read(const std::string& file) {
  const unique_fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) throw_system_error(errno, file);
  std::string text;
  for (std::array<char, 65536> buffer{};;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n < 0) throw_system_error(errno, file);
    if (n == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
  try {
    return parse(text);
  } catch (const std::runtime_error& e) {
    throw std::runtime_error(fmt::format("{} {}", file, e.what()));
  }
}

bool is_recording(const std::string& file) noexcept {
  const unique_fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, magic.size()> begins{};
  return fd && ::read(fd.get(), begins.data(), begins.size()) == static_cast<ssize_t>(begins.size()) &&
         std::string_view(begins.data(), begins.size()) == magic;
}

}  // namespace weir::recording
