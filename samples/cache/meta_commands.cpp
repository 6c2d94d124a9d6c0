// The meta commands of a session: mg, ms, md, ma, me.
#include <algorithm>
#include <charconv>
#include <cstring>

#include "meta.hpp"
#include "session.hpp"

namespace cache {
namespace {

// Bytes of the longest reply without the value: the flags that repeat what the client sent, and as many
// numbers as there are letters.
constexpr std::size_t longest_reply = 1024;

// A reply as it grows, in room for all of it.
class meta_reply {
 public:
  meta_reply(weir::write_buffer& out, std::string_view status, std::size_t more = 0)
      : out_(out), at_(out.reserve(longest_reply + more)) {
    put(status);
  }

  void put(std::string_view text) noexcept {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  template <class Number>
  void number(Number n) noexcept {
    at_ = std::to_chars(at_, at_ + 20, n).ptr;
  }
  void flag(char letter) noexcept { put({" ", 1}), put({&letter, 1}); }
  template <class Number>
  void flag(char letter, Number n) noexcept {
    flag(letter);
    number(n);
  }
  void opaque(std::string_view word) noexcept { put({" ", 1}), put(word); }
  void key(std::string_view text, bool is_binary) noexcept {
    flag('k');
    if (!is_binary) return put(text);
    at_ = put_base64(at_, text);
    put(" b");
  }
  void commit() noexcept { out_.commit(at_); }
  void end() noexcept {
    put(session::end_of_line);
    commit();
  }

 private:
  weir::write_buffer& out_;
  char* at_;
};

// What a client knows without the item: its own words.
void repeat(meta_reply& reply, const meta_request& r) noexcept {
  for (const std::string_view each : r.flags()) {
    if (each[0] == 'O') reply.opaque(each);
    if (each[0] == 'k') reply.key(r.key(), r.has_binary_key);
  }
}

void tell_time_left(meta_reply& reply, const item& i, instant now) noexcept {
  reply.flag('t', i.expires == 0 ? -1 : static_cast<std::int64_t>(i.expires) - now.seconds);
}

}  // namespace

bool session::meta_get(std::string_view rest, instant now, need& next) {
  const meta_request r(meta_kind::get, rest);
  if (!r.error.empty()) return say(r.error), true;
  const key k = service_.items.key_of(r.key());
  item_ptr fresh = r.exptime_new ? service_.items.spare(k, 0, now) : nullptr;
  service_.items.locked(k, [&](shard& s) {
    item* found = s.find(k, now, true);
    const bool is_new = found == nullptr && fresh;
    if (is_new) {
      found = fresh.get();
      found->has_binary_key = r.has_binary_key;
      s.put(std::move(fresh), k.hash, nullptr, now);
      found->expires = expiry(*r.exptime_new, now);
    }
    s.count.count(counted::cmd_get);
    if (found == nullptr) {
      s.count.count(counted::get_misses);
      if (r.is_quiet) return;
      meta_reply reply(out_, "EN");
      repeat(reply, r);
      return reply.end();
    }
    if (r.exptime) {
      s.count.count(counted::cmd_touch);
      s.count.count(counted::touch_hits);
    } else {
      s.count.count(counted::get_hits);
    }
    show(*found, r, is_new, now);
    if (!r.keeps_age) shard::fetch(*found, now);
    if (download_.of != nullptr) download_.hash = k.hash;
  });
  if (download_.of == nullptr) return true;
  next = {need::kind::download};
  return false;
}

// With the item's lock held.
void session::show(item& i, const meta_request& r, bool is_new, instant now) {
  const bool is_big = r.shows_value && i.size >= big && i.pin();
  meta_reply reply(out_, r.shows_value ? "VA " : "HD", i.size);
  if (r.shows_value) reply.number(std::uint32_t{i.size});
  bool wins = is_new;
  for (const std::string_view each : r.flags()) switch (each[0]) {
      case 'T': i.expires = expiry(*r.exptime, now); break;
      case 'R':
        wins |= !i.token_sent && !is_new && i.expires != 0 && i.expires < expiry(*r.exptime_anew, now);
        break;
      case 's': reply.flag('s', std::uint32_t{i.size}); break;
      case 't': tell_time_left(reply, i, now); break;
      case 'c': reply.flag('c', service_.settings.has_versions ? i.version : 0); break;
      case 'f': reply.flag('f', i.flags); break;
      case 'l': reply.flag('l', now.seconds_since(i.used_at)); break;
      case 'h': reply.flag('h', static_cast<unsigned>(i.was_fetched)); break;
      case 'O': reply.opaque(each); break;
      case 'k': reply.key(i.key(), i.has_binary_key); break;
      default: break;
    }
  if (i.token_sent) reply.flag('Z');
  if (i.is_stale) {
    reply.flag('X');
    wins |= !i.token_sent;
  }
  if (wins) {
    reply.flag('W');
    i.token_sent = 1;
  }
  reply.put(end_of_line);
  if (is_big)
    download_ = {&i, i.value(), 0};
  else if (r.shows_value)
    reply.put(i.value()), reply.put(end_of_line);
  reply.commit();
}

bool session::meta_set(std::string_view& input, std::size_t line, std::string_view rest, instant now,
                       need& next) {
  const meta_request r(meta_kind::set, rest);
  if (!r.error.empty()) {
    say(r.error);
    return refuse(input, line, r.takes, r.size, next);
  }
  change wanted{.how = update::set,
                .key = service_.items.key_of(r.key()),
                .flags = r.client_flags,
                .expires = expiry(r.exptime.value_or(0), now),
                .expected = r.expected,
                .has_binary_key = r.has_binary_key,
                .may_be_stale = r.may_be_stale};
  const bool has_version =
      std::ranges::any_of(r.flags(), [](std::string_view each) { return each[0] == 'C'; });
  switch (r.mode) {
    case 'E':
    case 'e': wanted.how = update::add; break;
    case 'A':
    case 'a': wanted.how = update::append; break;
    case 'P':
    case 'p': wanted.how = update::prepend; break;
    case 'R':
    case 'r': wanted.how = has_version ? update::cas : update::replace; break;
    default: wanted.how = has_version ? update::cas : update::set;
  }
  meta_ = meta_set_reply{};
  meta_->is_quiet = r.is_quiet;
  std::string* words = &meta_->before_version;
  for (const std::string_view each : r.flags()) switch (each[0]) {
      case 'O': words->append(" ").append(each); break;
      case 'k':
        words->append(" k");
        if (r.has_binary_key) {
          char shown[longest_key * 2];
          words->append(shown, put_base64(shown, r.key())).append(" b");
        } else {
          words->append(r.key());
        }
        break;
      case 'c':
        meta_->shows_version = true;
        words = &meta_->after_version;
        break;
      default: break;
    }
  return store_value(input, line, wanted, r.size, now, next);
}

// The reply to `ms`, once its value has come.
void session::say_meta(outcome o, std::uint64_t version) {
  const meta_set_reply reply = std::move(*std::exchange(meta_, std::nullopt));
  std::string_view status;
  switch (o) {
    case outcome::stored: status = "HD"; break;
    case outcome::not_stored: status = "NS"; break;
    case outcome::exists: status = "EX"; break;
    case outcome::not_found: status = "NF"; break;
    default: return say(o);
  }
  if (o == outcome::stored && reply.is_quiet) return;
  meta_reply out(out_, status, reply.before_version.size() + reply.after_version.size());
  out.put(reply.before_version);
  if (reply.shows_version) out.flag('c', version);
  out.put(reply.after_version);
  out.end();
}

void session::meta_remove(std::string_view rest, instant now) {
  const meta_request r(meta_kind::remove, rest);
  if (!r.error.empty()) return say(r.error);
  const key k = service_.items.key_of(r.key());
  const std::string_view status = service_.items.locked(k, [&](shard& s) -> std::string_view {
    item* const found = s.find(k, now);
    if (found == nullptr || (r.expected != 0 && found->version != r.expected)) {
      s.count.count(counted::delete_misses);
      return found == nullptr ? "NF" : "EX";
    }
    if (r.may_be_stale) {
      if (r.exptime) found->expires = expiry(*r.exptime, now);
      found->is_stale = 1;
      found->token_sent = 0;
      s.renew_version(*found);
    } else {
      s.count.count(counted::delete_hits);
      s.remove(*found);
    }
    return "HD";
  });
  if (r.is_quiet && status == "HD") return;
  meta_reply reply(out_, status);
  repeat(reply, r);
  reply.end();
}

void session::meta_add(std::string_view rest, instant now) {
  const meta_request r(meta_kind::add, rest);
  if (!r.error.empty()) return say(r.error);
  const bool is_down = r.mode == 'D' || r.mode == 'd' || r.mode == '-';
  const key k = service_.items.key_of(r.key());
  const increment wanted{.to = is_down ? direction::down : direction::up,
                         .delta = r.delta,
                         .expected = r.expected,
                         .initial = r.exptime_new ? std::optional(r.initial) : std::nullopt};
  service_.items.locked(k, [&](shard& s) {
    std::uint64_t result = 0;
    item* changed = nullptr;
    const bool was_there = r.exptime_new && s.find(k, now) != nullptr;
    const outcome o = store::add(s, k, wanted, now, result, changed);
    if (changed == nullptr && o != outcome::not_found && o != outcome::exists) return say(o);
    if (changed == nullptr) {
      meta_reply reply(out_, o == outcome::exists ? "EX" : "NF");
      repeat(reply, r);
      return reply.end();
    }
    const bool is_new = r.exptime_new && !was_there;
    meta_reply reply(out_, r.shows_value ? "VA " : "HD");
    char digits[20];
    const std::string_view value(
        digits, static_cast<std::size_t>(std::to_chars(digits, digits + sizeof digits, result).ptr - digits));
    if (r.shows_value) reply.number(value.size());
    for (const std::string_view each : r.flags()) switch (each[0]) {
        case 'c': reply.flag('c', std::uint64_t{changed->version}); break;
        case 't': tell_time_left(reply, *changed, now); break;
        case 'T': changed->expires = expiry(*r.exptime, now); break;
        case 'N':
          if (is_new) changed->expires = expiry(*r.exptime_new, now);
          break;
        case 'O': reply.opaque(each); break;
        case 'k': reply.key(r.key(), r.has_binary_key); break;
        default: break;
      }
    if (r.is_quiet && !is_new) return;
    if (r.shows_value) reply.put(end_of_line), reply.put(value);
    reply.end();
  });
}

void session::meta_debug(std::string_view rest, instant now) {
  std::string_view words = rest;
  const std::string_view first = take_word(words);
  const bool is_decoded = take_word(words) == "b";
  if (first.empty() || first.size() > longest_key) return say("CLIENT_ERROR bad command line format");
  const meta_request decoded(meta_kind::remove, is_decoded ? rest : first);
  if (!decoded.error.empty()) return say("CLIENT_ERROR bad command line format");
  const key k = service_.items.key_of(decoded.key());
  service_.items.locked(k, [&](shard& s) {
    const item* const found = s.find(k, now);
    if (found == nullptr) return say("EN");
    meta_reply reply(out_, "ME ");
    if (found->has_binary_key) {
      char shown[longest_key * 2];
      const char* const end = put_base64(shown, found->key());
      reply.put({shown, static_cast<std::size_t>(end - shown)});
    } else {
      reply.put(found->key());
    }
    reply.put(" exp=");
    reply.number(found->expires == 0
                     ? -1
                     : static_cast<std::int64_t>(now.seconds) - static_cast<std::int64_t>(found->expires));
    reply.put(" la=");
    reply.number(now.seconds_since(found->used_at));
    reply.put(" cas=");
    reply.number(std::uint64_t{found->version});
    reply.put(found->was_fetched ? " fetch=yes" : " fetch=no");
    reply.put(" cls=1 size=");
    reply.number(found->footprint());
    reply.end();
  });
}

}  // namespace cache
