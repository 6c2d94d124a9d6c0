#include <string>
#include <vector>

#include <fmt/format.h>

#include "command.hpp"
#include "engine.hpp"
#include "glob.hpp"

namespace kv {
namespace {

void tell_command(call& c, const command& each) {
  c.out.array(10);
  c.out.bulk(each.name);
  c.out.integer(each.words);
  std::vector<std::string_view> flags;
  if ((each.traits & command::writes) != 0) flags.emplace_back("write");
  if ((each.traits & command::reads) != 0) flags.emplace_back("readonly");
  if ((each.traits & command::grows) != 0) flags.emplace_back("denyoom");
  if ((each.traits & command::is_fast) != 0) flags.emplace_back("fast");
  if ((each.traits & command::for_anyone) != 0) flags.emplace_back("no_auth");
  c.out.set(flags.size());
  for (const auto flag : flags) c.out.simple(flag);
  for (const int number : {each.first_key, each.last_key, each.key_step}) c.out.integer(number);
  // Categories, tips, details of keys and subcommands: not kept.
  c.out.set(0);
  for (int i = 0; i < 3; ++i) c.out.array(0);
}

void command_info(call& c) {
  c.out.array(c.words.size() - 2);
  for (std::size_t i = 2; i < c.words.size(); ++i) {
    if (const command* const each = c.server.commands().find(c.words[i]))
      tell_command(c, *each);
    else
      c.out.null_array();
  }
}

// Of each command what is kept of it: the text of Redis's own documentation is not.
void command_docs(call& c) {
  std::vector<const command*> wanted;
  if (c.words.size() == 2)
    for (const command& each : c.server.commands().all()) wanted.push_back(&each);
  for (std::size_t i = 2; i < c.words.size(); ++i)
    if (const command* const each = c.server.commands().find(c.words[i])) wanted.push_back(each);
  c.out.map(wanted.size());
  for (const command* const each : wanted) {
    c.out.bulk(each->name);
    c.out.map(2);
    for (const std::string_view text : {"summary", "", "arity"}) c.out.bulk(text);
    c.out.integer(each->words);
  }
}

void command_getkeys(call& c) {
  if (c.words.size() < 3) return c.wrong_number_of_words("command|getkeys");
  const command* const what = c.server.commands().find(c.words[2]);
  if (what == nullptr) return c.out.error("ERR Invalid command specified");
  const int count = static_cast<int>(c.words.size()) - 2;
  if (what->first_key == 0) return c.out.error("ERR The command has no key arguments");
  if (what->words >= 0 ? count != what->words : count < -what->words)
    return c.out.error("ERR Invalid number of arguments specified for command");
  const int last = what->last_key < 0 ? count + what->last_key : what->last_key;
  const int keys = (last - what->first_key) / what->key_step + 1;
  c.out.array(static_cast<std::size_t>(keys));
  for (int i = what->first_key; i <= last; i += what->key_step)
    c.out.bulk(c.words[static_cast<std::size_t>(i) + 2]);
}

void command_list(call& c) {
  std::string_view pattern = "*";
  if (c.words.size() == 5 && is_word(c.words[2], "FILTERBY") && is_word(c.words[3], "PATTERN"))
    pattern = c.words[4];
  else if (c.words.size() != 2)
    return c.syntax_error();
  std::vector<std::string_view> found;
  for (const command& each : c.server.commands().all())
    if (matches(pattern, each.name)) found.push_back(each.name);
  c.out.set(found.size());
  for (const std::string_view name : found) c.out.bulk(name);
}

void command_command(call& c) {
  const auto all = c.server.commands().all();
  if (c.words.size() == 1 || (c.words.size() == 2 && is_word(c.words[1], "INFO"))) {
    c.out.array(all.size());
    for (const command& each : all) tell_command(c, each);
  } else if (is_word(c.words[1], "COUNT")) {
    if (c.words.size() != 2) return c.wrong_number_of_words("command|count");
    c.out.integer(static_cast<std::int64_t>(all.size()));
  } else if (is_word(c.words[1], "LIST")) {
    command_list(c);
  } else if (is_word(c.words[1], "INFO")) {
    command_info(c);
  } else if (is_word(c.words[1], "DOCS")) {
    command_docs(c);
  } else if (is_word(c.words[1], "GETKEYS")) {
    command_getkeys(c);
  } else {
    c.unknown_subcommand();
  }
}

constexpr command table[] = {
    {"command", -1, command_command},
};

}  // namespace

std::span<const command> command_commands() noexcept { return table; }

}  // namespace kv
