#include "session.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace cache {
namespace {

// Bytes of a VALUE line without the key and the value: its words and three numbers.
constexpr std::size_t most_of_header = 64;

char* put(char* to, std::string_view text) noexcept {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

template <class Number>
char* put_number(char* to, Number n) noexcept {
  *to++ = ' ';
  return std::to_chars(to, to + 20, n).ptr;
}

[[nodiscard]] need input(std::size_t least) noexcept { return {need::kind::input, least}; }

// Whether the line at the start of `text`, of `length` bytes at least, is beyond what is read of its kind.
[[nodiscard]] bool is_too_long(std::string_view text, std::size_t length) noexcept {
  if (length <= session::longest_line) return false;
  // The same bytes decide, whether more have come or not.
  std::string_view start = text.substr(0, session::longest_line);
  const std::string_view name = take_word(start);
  const bool is_get = name == "get" || name == "gets" || name == "gat" || name == "gats";
  return !is_get || length > session::longest_get;
}

}  // namespace

need session::work(std::string_view& input, instant now) {
  const std::size_t before = input.size();
  const std::size_t pending = out_.pending();
  need next{need::kind::flush};
  while (out_.pending() < most_pending && step(input, now, next)) {
  }
  visitor_.count(before - input.size(), out_.pending() - pending);
  return next;
}

bool session::step(std::string_view& input, instant now, need& next) {
  if (getting_) return get_next(input, *first_line(input), now, next);  // whose end has been seen
  if (upload_) {
    next = {need::kind::upload};
    return upload_space().empty() && finish_upload(now);
  }
  if (swallow_ != 0) {
    const std::size_t here = std::min(swallow_, input.size());
    swallow_ -= here;
    input.remove_prefix(here);
  }
  if (seen_ == 0 && !input.empty() && starts_no_line(input.front())) {
    is_foreign_ = true;
    next = {need::kind::end};
    return false;
  }
  const auto split = first_line(input, seen_);
  if (is_too_long(input, split ? split->consumed : input.size())) {
    next = {need::kind::end};
    return false;
  }
  if (split) {
    seen_ = 0;
    return execute(input, *split, now, next);
  }
  seen_ = input.size();
  next = cache::input(input.size() + 1);
  return false;
}

bool session::execute(std::string_view& input, const line_split& split, instant now, need& next) {
  const command c = parse_command(split.line);
  quiet_ = c.quiet;
  switch (c.what) {
    case verb::update: return update_item(input, split.consumed, c, now, next);
    case verb::get: {
      getting_ = true;
      shows_version_ = c.shows_version;
      exptime_ = c.has_exptime ? std::optional(c.exptime) : std::nullopt;
      const auto name = static_cast<std::size_t>(c.key.data() - input.data());
      input.remove_prefix(name);
      return get_next(input, {c.key, split.consumed - name}, now, next);
    }
    case verb::meta_set: return meta_set(input, split.consumed, c.key, now, next);
    case verb::meta_get: {
      const bool goes_on = meta_get(c.key, now, next);
      input.remove_prefix(split.consumed);
      return goes_on;
    }
    case verb::none: say(c.error); return refuse(input, split.consumed, c.takes, c.size, next);
    default: return execute_simple(input, split.consumed, c, now, next);
  }
}

bool session::execute_simple(std::string_view& input, std::size_t line, const command& c, instant now,
                             need& next) {
  store& items = service_.items;
  switch (c.what) {
    case verb::incr:
    case verb::decr: write_number(c, now); break;
    case verb::remove: say(items.remove(items.key_of(c.key), now) ? "DELETED" : "NOT_FOUND"); break;
    case verb::touch:
      say(items.touch(items.key_of(c.key), expiry(c.exptime, now), now) ? "TOUCHED" : "NOT_FOUND");
      break;
    case verb::flush_all:
      if (!service_.settings.allows_flush) {
        say("CLIENT_ERROR flush_all not allowed");
      } else {
        items.flush(c.exptime > 0 ? expiry(c.exptime, now) : now.seconds, now);
        say("OK");
      }
      break;
    case verb::stats: out_.write(statistics(service_, c.key)); break;
    case verb::version: out_.write("VERSION "), out_.write(protocol_version), out_.write(end_of_line); break;
    case verb::verbosity: say("OK"); break;
    case verb::meta_remove: meta_remove(c.key, now); break;
    case verb::meta_add: meta_add(c.key, now); break;
    case verb::meta_debug: meta_debug(c.key, now); break;
    case verb::meta_noop: say("MN"); break;
    case verb::shutdown:
      if (!service_.settings.shutdown) {
        say("ERROR: shutdown not enabled");
        break;
      }
      if (!c.error.empty()) {
        say(c.error);
        break;
      }
      service_.settings.shutdown();
      next = {need::kind::end};
      break;
    case verb::foreign: is_foreign_ = true; [[fallthrough]];
    default: next = {need::kind::end};
  }
  input.remove_prefix(line);
  return next.what != need::kind::end;
}

bool session::refuse(std::string_view& input, std::size_t line, refused takes, std::uint32_t size,
                     need& next) {
  input.remove_prefix(line);
  if (takes == refused::data) swallow_ = size + end_of_line.size();
  if (takes != refused::session) return true;
  next = {need::kind::end};
  return false;
}

bool session::update_item(std::string_view& input, std::size_t line, const command& c, instant now,
                          need& next) {
  const change wanted{.how = c.how,
                      .key = service_.items.key_of(c.key),
                      .flags = c.flags,
                      .expires = expiry(c.exptime, now),
                      .expected = service_.settings.has_versions ? c.number : 0};
  return store_value(input, line, wanted, c.size, now, next);
}

bool session::store_value(std::string_view& input, std::size_t line, const change& wanted, std::uint32_t size,
                          instant now, need& next) {
  const std::size_t whole = line + size + end_of_line.size();
  if (service_.items.is_too_large(wanted, size)) {
    service_.items.refuse_too_large(wanted, now);
    say_stored(outcome::too_large, 0);
    return refuse(input, line, refused::data, size, next);
  }
  if (input.size() >= whole) {
    const std::string_view value = input.substr(line, size);
    std::uint64_t version = 0;
    if (input.substr(line + size, end_of_line.size()) == end_of_line) {
      const outcome o = service_.items.put(wanted, value, now, &version);
      say_stored(o, version);
    } else {
      meta_.reset();
      say("CLIENT_ERROR bad data chunk");
    }
    input.remove_prefix(whole);
    return true;
  }
  if (whole <= big) {
    meta_.reset();  // the line will be read again
    next = cache::input(whole);
    return false;
  }
  upload_ = service_.items.begin(wanted, size, end_of_line.size(), now);
  input.remove_prefix(line);
  if (!upload_) {
    say_stored(outcome::no_memory, 0);
    return refuse(input, 0, refused::data, size, next);
  }
  change_ = wanted;
  change_.key.text = upload_->key();
  uploaded_ = input.copy(reinterpret_cast<char*>(upload_space().data()), input.size());
  input = {};
  next = {need::kind::upload};
  return false;
}

bool session::finish_upload(instant now) {
  const bool ends =
      std::string_view(upload_->value_bytes() + upload_->size, end_of_line.size()) == end_of_line;
  std::uint64_t version = 0;
  if (ends) {
    const outcome o = service_.items.put(change_, std::move(upload_), now, &version);
    say_stored(o, version);
  } else {
    meta_.reset();
    say("CLIENT_ERROR bad data chunk");
  }
  upload_ = {};
  uploaded_ = 0;
  return true;
}

bool session::get_next(std::string_view& input, line_split left, instant now, need& next) {
  store& items = service_.items;
  std::optional<std::uint32_t> expires;
  if (exptime_) expires = expiry(*exptime_, now);
  std::string_view keys = left.line;
  for (std::string_view word = take_word(keys); !word.empty(); word = take_word(keys)) {
    const key k = items.key_of(word);
    items.get(k, now, expires, [&](item& found) {
      if (found.size >= big && found.pin()) download_ = {&found, found.value(), k.hash};
      write_value(found);
    });
    if (download_.of == nullptr && out_.pending() < most_pending) continue;
    input.remove_prefix(static_cast<std::size_t>(keys.data() - input.data()));
    next = {download_.of != nullptr ? need::kind::download : need::kind::flush};
    return false;
  }
  getting_ = false;
  out_.write("END\r\n");
  input.remove_prefix(left.consumed);
  return true;
}

// With the item's lock held. The value of a download is sent by the caller.
void session::write_value(const item& i) {
  const std::string_view value = download_.of != nullptr ? std::string_view() : i.value();
  char* at = put(out_.reserve(most_of_header + i.key_size + value.size()), "VALUE ");
  at = put(at, i.key());
  at = put_number(at, i.flags);
  at = put_number(at, i.size);
  if (shows_version_) at = put_number(at, service_.settings.has_versions ? i.version : 0);
  at = put(at, end_of_line);
  if (download_.of == nullptr) at = put(put(at, value), end_of_line);
  out_.commit(at);
}

void session::downloaded() noexcept {
  if (download_.of == nullptr) return;
  visitor_.count(0, download_.value.size());
  service_.items.unpin(std::exchange(download_, {}));
}

void session::write_number(const command& c, instant now) {
  const auto way = c.what == verb::incr ? direction::up : direction::down;
  std::uint64_t result = 0;
  const outcome o = service_.items.add(service_.items.key_of(c.key), way, c.number, now, result);
  if (o != outcome::stored) return say(o);
  char digits[20];
  say({digits, static_cast<std::size_t>(std::to_chars(digits, digits + sizeof digits, result).ptr - digits)});
}

void session::say_stored(outcome o, std::uint64_t version) {
  if (meta_)
    say_meta(o, version);
  else
    say(o);
}

void session::say(outcome o) {
  switch (o) {
    case outcome::stored: return say("STORED");
    case outcome::not_stored: return say("NOT_STORED");
    case outcome::exists: return say("EXISTS");
    case outcome::not_found: return say("NOT_FOUND");
    case outcome::too_large: return say("SERVER_ERROR object too large for cache");
    case outcome::no_memory: return say("SERVER_ERROR out of memory storing object");
    case outcome::not_a_number: return say("CLIENT_ERROR cannot increment or decrement non-numeric value");
  }
}

}  // namespace cache
