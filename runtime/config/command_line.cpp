#include "weir/config/detail/command_line.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "layers.hpp"
#include "suggestion.hpp"

namespace weir {
namespace {

struct action_flag {
  weir::action action;
  std::string flags;
  std::string help;
};
const std::array<action_flag, 8> action_flags{{
    {action::help, "-h,--help", "print this"},
    {action::version, "--version", "print the version"},
    {action::list_models, "--list-models", "print every concurrency model and when to use it"},
    {action::check, "--check", "validate the settings and exit"},
    {action::print_config, "--print-config", "print the effective settings as a configuration file and exit"},
    {action::plan, "--plan", "print what would run where and exit"},
    {action::status, "--status",
     "print the state of the server that runs with these settings, found by processes.pid_file"},
    {action::dump, "--dump",
     "print what each connection and task of the running server waits for, found by --pid or "
     "processes.pid_file"},
}};

// A flag of its own for a common key.
struct key_flag {
  std::string flag;
  std::string_view key;
  std::string type;
  std::string help;
};
const std::array<key_flag, 7> key_flags{{
    {"--listen", "listen", "ADDRESS", "where to accept connections; may be repeated"},
    {"--model", "model", "NAME", "the concurrency model"},
    {"--io", "io", "NAME", "how a loop does I/O"},
    {"--cores", "cores.use", "LIST", "the CPUs that run loops: auto, 0-3,8"},
    {"--processes", "processes.count", "N", "worker processes of model process-pool"},
    {"--record", "record.file", "FILE", "write down what clients send"},
    {"--policy", "distribute.policy", "NAME", "how the core or worker of a new connection is chosen"},
}};

std::string footer(const program& what) {
  std::string out = what.options;
  if (!out.empty() && out.back() != '\n') out += '\n';
  if (!out.empty()) out += '\n';
  out +=
      "Keys, for the file, for --set and, in capitals, for the environment (limits.connections is\n"
      "WEIR_LIMITS_CONNECTIONS). Defaults < file < environment < command line.\n";
  key_values own = standards_of(what.keys);
  for (const auto& each : tunables_with(what.keys, own))
    out += fmt::format("  {:<24} {}\n  {:<24}   {}; default {}\n", each.key, each.help, "", each.range,
                       default_of(each, what.defaults));
  out +=
      "Exit codes: 0 clean, 1 could not start or a service failed, 2 misuse, 3 stopped as told, but "
      "connections\n"
      "or jobs were cut.\n";
  return out;
}

// The options of CLI11 in the order of the tables above.
struct parser {
  CLI::App app;
  std::array<CLI::Option*, action_flags.size()> actions{};
  std::vector<std::pair<CLI::Option*, std::string>> keys{};  // and the key of each
  CLI::Option* file = nullptr;
  CLI::Option* set = nullptr;
  CLI::Option* json = nullptr;
  CLI::Option* pid = nullptr;
  CLI::Option* running = nullptr;
  CLI::Option* recorder = nullptr;
  CLI::Option* compare = nullptr;

  explicit parser(const program& what) : app(what.summary, what.name) {
    app.set_help_flag();
    app.allow_extras();
    app.footer(footer(what));
    for (std::size_t i = 0; i < actions.size(); ++i)
      actions[i] = app.add_flag(action_flags[i].flags)->description(action_flags[i].help);
    json = app.add_flag("--json")->description("with --status and --dump: as JSON");
    recorder = valued("--recorder", "FILE",
                      "write the last turns of the running server's loops, as a trace that Perfetto shows");
    pid = valued("--pid", "N",
                 "with --dump, --recorder and --plan --running: the process, instead of the one of "
                 "processes.pid_file");
    running = app.add_flag("--running")
                  ->description("with --plan: compare with the server that runs, found as by --dump");
    compare =
        valued("--compare", "COMMAND",
               "run this program in every model under a load command, in which {address}, {host}, {port} "
               "and {seconds} are replaced, and tell which suits it");
    file = valued("--config", "FILE", "the configuration file (TOML)");
    for (const key_flag& each : key_flags)
      keys.emplace_back(valued(each.flag, each.type, each.help), each.key);
    for (const key& each : what.keys)
      if (!each.flag.empty()) keys.emplace_back(valued(each.flag, each.flag_type, each.help), each.name);
    set = valued("--set", "KEY=VALUE", "any key of those below; may be repeated");
  }

  CLI::Option* valued(const std::string& flag, const std::string& type, const std::string& help) {
    auto* option = app.add_option(flag)->description(help)->option_text(type);
    return option->expected(1)->allow_extra_args(false)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
};

constexpr std::string_view only_one =
    "only one of --check, --print-config, --plan, --status, --dump and --recorder";

std::optional<action> requested_action(const parser& from, std::vector<std::string>& errors) {
  std::optional<action> found;
  for (std::size_t i = 0; i < from.actions.size(); ++i) {
    if (from.actions[i]->count() == 0) continue;
    if (action_flags[i].action <= action::version || action_flags[i].action == action::list_models)
      return action_flags[i].action;
    if (found) errors.push_back(fmt::format("{}: {}", action_flags[i].flags, only_one));
    found = action_flags[i].action;
  }
  if (from.recorder->count() == 0) return found;
  if (found || from.recorder->count() > 1) errors.push_back(fmt::format("--recorder: {}", only_one));
  return action::recorder;
}

int process_id(const std::string& text, std::vector<std::string>& errors) {
  int id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size() || id <= 0)
    errors.push_back(fmt::format("--pid {}: expected the id of a process", text));
  return id;
}

void apply_assignment(const std::string& assignment, layers& into) {
  const auto equals = assignment.find('=');
  if (equals == std::string::npos) {
    into.errors.push_back(fmt::format("--set {}: expected KEY=VALUE", assignment));
    return;
  }
  const auto key = assignment.substr(0, equals);
  const auto place = "--set " + key;
  if (const auto* what = find_tunable(key, into.rows))
    into.set(*what, untyped{assignment.substr(equals + 1)}, place, place);
  else
    into.errors.push_back(fmt::format("{}: unknown key{}", place, key_suggestion(key, into.rows)));
}

// In the order in which they were written, so that the later of two options about one key wins.
void apply_options(const parser& from, layers& into) {
  std::map<const CLI::Option*, std::size_t> seen;
  std::vector<std::string> addresses;
  for (const auto* option : from.app.parse_order()) {
    const auto nth = seen[option]++;
    if (option == from.set) {
      apply_assignment(option->results()[nth], into);
      continue;
    }
    const auto at = std::ranges::find(from.keys, option, &std::pair<CLI::Option*, std::string>::first);
    if (at == from.keys.end()) continue;
    const tunable& what = *find_tunable(at->second, into.rows);
    const std::string flag = "--" + option->get_lnames().front();
    const auto& text = option->results()[nth];
    if (what.key == "listen") {
      addresses.push_back(text);
      into.set(what, addresses, flag, flag);
    } else {
      into.set(what, untyped{text}, flag, flag);
    }
  }
}

void offer_rest(const parser& from, const program& what, layers& into) {
  const auto rest = from.app.remaining();
  std::vector<std::string> known;
  for (const auto* option : from.app.get_options()) known.push_back("--" + option->get_lnames().front());
  for (std::size_t i = 0; i < rest.size();) {
    const auto taken = what.take ? what.take(std::span(rest).subspan(i)) : 0;
    i += taken;
    if (taken != 0) continue;
    const auto& word = rest[i++];
    const auto flag = word.substr(0, word.find('='));
    if (const auto* foreign = find_foreign_word(flag); foreign != nullptr && word.starts_with('-')) {
      into.errors.push_back(fmt::format("{}: unknown option; {}", flag, foreign->option));
      if (flag == word && i < rest.size() && !rest[i].starts_with('-')) ++i;  // its value
      continue;
    }
    if (const auto* key = find_tunable(
            std::string_view(flag).substr(std::min(flag.find_first_not_of('-'), flag.size())), into.rows))
      into.errors.push_back(fmt::format("{}: no option of its own; write --set {}=...", flag, key->key));
    else
      into.errors.push_back(fmt::format("{}: unknown {}{}; see --help", flag,
                                        word.starts_with('-') ? "option" : "argument",
                                        suggestion(flag, known)));
  }
}

}  // namespace

std::string command_line::origin_of(std::string_view key) const {
  const auto at = origins.find(key);
  return at == origins.end() ? "default" : at->second;
}

void read_environment(const char* const* environment, layers& into) {
  constexpr std::string_view prefix = "WEIR_";
  std::vector<std::string> variables;
  for (const auto& each : into.rows) variables.push_back(variable_of(each.key));
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    if (!entry.starts_with(prefix)) continue;
    const auto equals = std::min(entry.find('='), entry.size());
    const std::string name(entry.substr(0, equals));
    const auto at = std::find(variables.begin(), variables.end(), name);
    if (at == variables.end())
      into.errors.push_back(fmt::format("{}: unknown variable{}", name, suggestion(name, variables)));
    else
      into.set(into.rows[static_cast<std::size_t>(at - variables.begin())],
               untyped{std::string(entry.substr(std::min(equals + 1, entry.size())))}, name, name);
  }
}

command_line parse_command_line(int argc, const char* const* argv, const char* const* environment,
                                const program& what) {
  layers all(what);
  command_line result;
  result.own = all.own;
  parser from(what);
  std::vector<std::string> backwards;  // the order that CLI11 wants
  for (int i = argc - 1; i > 0; --i) backwards.emplace_back(argv[i]);
  bool understood = true;
  try {
    from.app.parse(std::move(backwards));
  } catch (const CLI::ArgumentMismatch& e) {
    const std::string text = e.what();  // starts with the option
    all.errors.push_back(fmt::format("{}: its value is missing; see --help", text.substr(0, text.find(':'))));
    understood = false;
  } catch (const CLI::ParseError& e) {
    all.errors.emplace_back(e.what());
    understood = false;
  }
  if (const auto asked = requested_action(from, all.errors)) result.action = *asked;
  if (result.action == action::help || result.action == action::version ||
      result.action == action::list_models)
    return result;

  if (from.compare->count() != 0) {
    if (result.action != action::run) all.errors.emplace_back("--compare: it is an action of its own");
    result.action = action::compare;
    result.compare = from.compare->results().back();
  }
  result.json = from.json->count() != 0;
  result.running = from.running->count() != 0;
  if (result.running && result.action != action::plan) all.errors.emplace_back("--running: only with --plan");
  if (from.recorder->count() != 0) result.trace_file = from.recorder->results().back();
  if (from.pid->count() != 0) result.pid = process_id(from.pid->results().back(), all.errors);
  if (from.file->count() > 1) all.errors.emplace_back("--config: given more than once");
  if (from.file->count() == 1) {
    result.config_file = from.file->results().front();
    read_config_file(result.config_file, all);
  }
  read_environment(environment, all);
  if (understood) {
    apply_options(from, all);
    offer_rest(from, what, all);
  }
  if (!all.errors.empty()) throw config_error(std::move(all.errors));
  result.settings = std::move(all.values);
  result.own = all.own;
  result.origins = std::move(all.origins);
  return result;
}

std::string help_text(const program& what) { return parser(what).app.help(); }

std::string version_text(const program& what) {
  return what.version.empty() ? fmt::format("{} (weir {})\n", what.name, WEIR_VERSION)
                              : fmt::format("{} {} (weir {})\n", what.name, what.version, WEIR_VERSION);
}

}  // namespace weir
