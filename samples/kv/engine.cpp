#include "engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <new>

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

std::size_t engine::run_batch(client_state& client, weir::write_buffer& to, std::size_t most_bytes) {
  std::size_t ran = 0;
  if (batch_.size() > 1) fetch_ahead();
  for (request_batch::request& each : batch_) {
    if (client.leaves || to.pending() >= most_bytes) break;
    ++ran;
    if (each.words.size() == 0) continue;
    call c{each.words, *this, keys_, client, reply(to)};
    if (batch_.size() == 1) each.what = commands_.find(each.words.name());
    keys_.expect(each.key, each.hash);
    run(each.what, c);
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

void engine::run(const command* what, call& c) {
  if (what == nullptr) return refuse_unknown(c);
  const int count = static_cast<int>(c.words.size());
  if (what->words >= 0 ? count != what->words : count < -what->words)
    return c.wrong_number_of_words(what->name);
  if ((what->traits & command::grows) != 0 && limits_.memory != 0 && keys_.memory() > limits_.memory)
    return c.out.error("OOM command not allowed when used memory > 'maxmemory'.");
  ++commands_run_;
  weir::write_buffer& to = c.out.buffer();
  const std::size_t before = to.pending();
  try {
    what->run(c);
  } catch (const std::bad_alloc&) {
    to.truncate(before);
    c.out.error("OOM there is no memory for this");
  }
}

void engine::refuse_unknown(call& c) {
  std::string shown;
  for (std::size_t i = 1; i < c.words.size() && shown.size() < 128; ++i)
    shown += fmt::format("'{}' ", up_to_nul(c.words[i], 128 - shown.size()));
  c.out.error(fmt::format("ERR unknown command '{}', with args beginning with: {}",
                          up_to_nul(c.words.name(), 128), shown));
}

void engine::reset_counters() noexcept {
  commands_run_ = 0;
  keys_.reset_counters();
}

}  // namespace kv
