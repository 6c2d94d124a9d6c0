#include "engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <new>
#include <utility>

namespace kv {

std::string_view up_to_nul(std::string_view text, std::size_t most) noexcept {
  return text.substr(0, std::min(most, text.find('\0')));
}

bool is_word(std::string_view text, std::string_view capitals) noexcept {
  return std::ranges::equal(text, capitals,
                            [](char a, char b) { return (a >= 'a' && a <= 'z' ? a - 32 : a) == b; });
}

std::optional<std::int64_t> call::integer(std::size_t i) {
  const auto value = integer_of(words[i]);
  if (!value) out.error("ERR value is not an integer or out of range");
  return value;
}

bool call::is_our_database(std::size_t i) {
  const auto number = integer(i);
  if (!number) return false;
  if (*number < INT32_MIN || *number > INT32_MAX)
    out.error("ERR value is out of range, value must between -2147483648 and 2147483647");
  else if (*number != 0)
    out.error("ERR DB index is out of range");
  return *number == 0;
}

void call::wrong_number_of_words(std::string_view command) {
  out.error(fmt::format("ERR wrong number of arguments for '{}' command", command));
}

void call::unknown_subcommand() {
  std::string group(words.name());
  for (char& letter : group)
    letter = letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 32) : letter;
  out.error(fmt::format("ERR unknown subcommand '{}'. Try {} HELP.", up_to_nul(words[1], 128), group));
}

std::string in_small_letters(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  return out;
}

inline bool engine::refuses(const command* what, call& c) {
  if (what == nullptr) return refuse_unknown(c), true;
  const int count = static_cast<int>(c.words.size());
  if (what->words >= 0 ? count != what->words : count < -what->words) {
    const std::string why = fmt::format("ERR wrong number of arguments for '{}' command", what->name);
    return reject(*what, c, why), true;
  }
  if ((what->traits & command::grows) != 0 && limits_.memory != 0 && keys_.memory() > limits_.memory)
    return c.out.error("OOM command not allowed when used memory > 'maxmemory'."), true;
  return false;
}

inline void engine::run(const command* what, call& c) {
  if (refuses(what, c)) return;
  ++commands_run_;
  ++calls_[static_cast<std::size_t>(what - commands_.all().data())];
  weir::write_buffer& to = c.out.buffer();
  const std::size_t before = to.pending();
  try {
    what->run(c);
  } catch (const std::bad_alloc&) {
    to.truncate(before);
    c.out.error("OOM there is no memory for this");
  }
}

std::size_t engine::run_batch(client_state& client, weir::write_buffer& to, std::size_t most_bytes) {
  std::size_t ran = 0;
  if (batch_.size() > 1) fetch_ahead();
  for (request_batch::request& each : batch_) {
    if (client.leaves || to.pending() >= most_bytes) break;
    ++ran;
    if (each.words.size() == 0) continue;
    call c{each.words, *this, keys_, client, reply(to, client.protocol)};
    if (batch_.size() == 1) each.what = commands_.find(each.words.name());
    keys_.expect(each.key, each.hash);
    client.last_command = each.what;
    if (client.circumstances == 0) [[likely]]
      run(each.what, c);
    else
      run_under_circumstances(each.what, c);
  }
  keys_.expect({}, 0);
  batch_.clear();
  return ran;
}

void engine::fetch_ahead() noexcept {
  for (request_batch::request& each : batch_) {
    if (each.words.size() == 0) continue;
    each.what = commands_.find(each.words.name());
    if (each.what == nullptr || each.what->first_key == 0) continue;
    const auto place = static_cast<std::size_t>(each.what->first_key);
    if (place >= each.words.size()) continue;
    each.key = each.words[place];
    each.hash = keys_.fetch(each.key);
  }
  for (const request_batch::request& each : batch_)
    if (!each.key.empty()) keys_.fetch_item(each.hash);
}

// An EXEC that is not even run ends its transaction.
void engine::reject(const command& what, call& c, std::string_view why) {
  if (what.name != "exec") return c.out.error(why);
  if (why.starts_with("ERR ")) why.remove_prefix(4);
  end_transaction(c.client);
  c.out.error(fmt::format("EXECABORT Transaction discarded because of: {}", why));
}

void engine::end_transaction(client_state& c) noexcept {
  c.transaction.reset();
  c.set(client_state::in_transaction, false);
  if (!c.watching) return;
  keys_.unwatch(*c.watching);
  c.watching.reset();
}

// Whether the command may not run, or not yet; then that is answered.
bool engine::is_held_back(const command* what, call& c) {
  client_state& me = c.client;
  if (refuses(what, c)) {
    if (me.transaction) me.transaction->is_broken = true;
    return true;
  }
  std::string_view why;
  std::string text;
  if (me.is(client_state::must_authenticate) && (what->traits & command::for_anyone) == 0) {
    why = "NOAUTH Authentication required.";
  } else if (me.is(client_state::subscribed) && (what->traits & command::for_subscribers) == 0) {
    text = fmt::format(
        "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
        "this context",
        what->name);
    why = text;
  }
  if (!why.empty()) {
    if (me.transaction) me.transaction->is_broken = true;
    reject(*what, c, why);
    return true;
  }
  if (!me.transaction || (what->traits & command::at_once) != 0) return false;
  bool has_room = false;
  try {
    has_room = me.transaction->add(*what, c.words);
  } catch (const std::bad_alloc&) {
  }
  if (has_room) return c.out.simple("QUEUED"), true;
  me.transaction->is_broken = true;
  c.out.error("OOM there is no memory for this");
  return true;
}

void engine::run_queued(const command& what, call& c) { run(&what, c); }

void engine::run_under_circumstances(const command* what, call& c) {
  client_state& me = c.client;
  weir::write_buffer& to = c.out.buffer();
  const std::size_t before = to.pending();
  const bool is_skipped = me.is(client_state::silent_once);
  me.set(client_state::silent_once, false);
  const bool runs = !is_held_back(what, c);
  if (runs) run(what, c);
  const bool pushes = runs && (what->traits & command::pushes) != 0;
  if ((is_skipped || me.is(client_state::silent)) && !pushes) to.truncate(before);
}

void engine::refuse_unknown(call& c) {
  std::string shown;
  for (std::size_t i = 1; i < c.words.size() && shown.size() < 128; ++i)
    shown += fmt::format("'{}' ", up_to_nul(c.words[i], 128 - shown.size()));
  c.out.error(fmt::format("ERR unknown command '{}', with args beginning with: {}",
                          up_to_nul(c.words.name(), 128), shown));
}

bool engine::is_password(std::string_view given) const noexcept {
  std::size_t differences = given.size() ^ password_.size();
  for (std::size_t i = 0; i < given.size(); ++i)
    differences |= static_cast<unsigned char>(given[i] ^ password_[i % password_.size()]);
  return differences == 0;
}

void engine::welcome(client_state& c) noexcept {
  c.id = clients_ever_.fetch_add(1, std::memory_order_relaxed) + 1;
  clients_.fetch_add(1, std::memory_order_relaxed);
  const std::lock_guard lock(door_);
  c.next = std::exchange(arrived_, &c);
  at_door_.store(true, std::memory_order_release);
}

void engine::see_off(std::unique_ptr<client_state> c) noexcept {
  clients_.fetch_sub(1, std::memory_order_relaxed);
  const std::lock_guard lock(door_);
  client_state* const gone = c.release();
  gone->next_left = std::exchange(left_, gone);
  at_door_.store(true, std::memory_order_release);
}

// Thread: the engine's.
void engine::open_door() noexcept {
  const std::lock_guard lock(door_);
  at_door_.store(false, std::memory_order_relaxed);
  client_state* in_order = nullptr;  // they stand in the reverse of the order in which they came
  while (arrived_ != nullptr) {
    client_state* const each = std::exchange(arrived_, arrived_->next);
    each->next = std::exchange(in_order, each);
  }
  while (in_order != nullptr) {
    client_state* const each = std::exchange(in_order, in_order->next);
    each->since = each->last_seen = keys_.now();
    each->next = met_;
    if (met_ != nullptr) met_->link = &each->next;
    each->link = &met_;
    met_ = each;
  }
  while (left_ != nullptr) {
    client_state* const each = std::exchange(left_, left_->next_left);
    *each->link = each->next;
    if (each->next != nullptr) each->next->link = each->link;
    forget(*each);
    delete each;
  }
}

void engine::forget(client_state& c) noexcept {
  end_transaction(c);
  subscribers_.unsubscribe_all(c);
}

void engine::reset_counters() noexcept {
  std::ranges::fill(calls_, 0);
  commands_run_ = 0;
  keys_.reset_counters();
}

}  // namespace kv
