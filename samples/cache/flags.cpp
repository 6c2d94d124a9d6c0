#include "flags.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <optional>
#include <weir/config/config_error.hpp>

namespace cache {
namespace {

constexpr std::string_view with_value = "pslmIctoUbauPfnRBe";
constexpr std::string_view without_value = "FACMvVdkrLDSYZ";

// Flags of memcached that are refused, and why.
struct refusal {
  char flag;
  std::string_view reason;
};
constexpr refusal refusals[] = {
    {'d', "it stays in the foreground; run it under systemd (samples/echo/echo.service)"},
    {'P', "a file for the process id is kept with --model process-pool only; systemd knows the id"},
    {'k', "memory is not locked; limit it with -m"},
    {'r', "the size of core files is the caller's: ulimit -c"},
    {'L', "there are no large pages here"},
    {'D', "statistics by prefix are not kept"},
    {'S', "there is no SASL here; listen on loopback or a unix socket"},
    {'Y', "there is no authentication here; listen on loopback or a unix socket"},
    {'Z', "there is no TLS here"},
    {'e', "items are not kept over a restart"},
};

struct reading {
  flags out;
  std::vector<std::string> errors;
  std::string port = "11211";
  std::string unix_path;
  std::vector<std::string> addresses;
  bool says_where = false;

  void set(std::string_view key, std::string_view value) {
    out.rest.emplace_back("--set");
    out.rest.push_back(fmt::format("{}={}", key, value));
  }

  // A whole number with the unit that `units` allows behind it; nothing, and an error, if it is not that.
  std::optional<std::uint64_t> number(char flag, std::string_view text, std::uint64_t least,
                                      std::uint64_t most, bool has_unit = false) {
    std::uint64_t value = 0;
    const char* const end = text.data() + text.size();
    auto [stopped, error] = std::from_chars(text.data(), end, value);
    if (has_unit && stopped != end && error == std::errc()) {
      const int shift = *stopped == 'k' || *stopped == 'K' ? 10 : *stopped == 'm' || *stopped == 'M' ? 20 : 0;
      if (shift != 0 && value <= most) value <<= shift, ++stopped;
    }
    if (error == std::errc() && stopped == end && value >= least && value <= most) return value;
    errors.push_back(fmt::format("-{} {}: a number from {} to {}", flag, text, least, most));
    return std::nullopt;
  }

  void take(char flag, const std::string& value, const std::vector<int>& cpus) {
    store_settings& store = out.service.store;
    switch (flag) {
      case 'p':
        if (number(flag, value, 0, 65535)) port = value, says_where = true;
        break;
      case 'l':
        for (std::size_t at = 0; at <= value.size();) {
          const std::size_t comma = std::min(value.find(',', at), value.size());
          addresses.push_back(value.substr(at, comma - at));
          at = comma + 1;
        }
        says_where = true;
        break;
      case 's': unix_path = std::filesystem::absolute(value); break;
      case 'a': set("socket.unix_mode", value); break;
      case 'm':
        if (const auto n = number(flag, value, 1, std::numeric_limits<std::uint32_t>::max()))
          store.memory = *n << 20;
        break;
      case 'I':
        if (const auto n = number(flag, value, 1U << 10, 1U << 30, true))
          store.item_limit = static_cast<std::uint32_t>(*n);
        break;
      case 'c':
        if (const auto n = number(flag, value, 1, std::numeric_limits<std::uint32_t>::max())) {
          out.service.connections = static_cast<std::uint32_t>(*n);
          set("limits.connections", value);
        }
        break;
      case 't':
        // More than one thread per CPU would gain nothing here: a loop never waits.
        if (auto n = number(flag, value, 1, std::numeric_limits<std::uint16_t>::max())) {
          n = std::min<std::uint64_t>(*n, cpus.size());
          out.rest.emplace_back("--cores");
          out.rest.push_back(
              fmt::format("{}", fmt::join(cpus.begin(), cpus.begin() + static_cast<long>(*n), ",")));
        }
        break;
      case 'b':
        if (number(flag, value, 1, std::numeric_limits<std::int32_t>::max())) set("socket.backlog", value);
        break;
      case 'o':
        if (value.starts_with("idle_timeout="))
          set("limits.idle_timeout", value.substr(value.find('=') + 1) + "s");
        else
          errors.push_back(fmt::format("-o {}: only idle_timeout=SECONDS is known", value));
        break;
      case 'U':
        if (value != "0") errors.push_back(fmt::format("-U {}: there is no UDP here, only 0", value));
        break;
      case 'u':
        // As memcached: only root has another user to become.
        if (::geteuid() == 0 && value != "root") set("privileges.user", value);
        break;
      case 'f':
      case 'n':
      case 'R': break;  // of slabs, and of how long a thread serves one client: nothing of that is here
      case 'B':
        if (value != "auto" && value != "ascii")
          errors.push_back(fmt::format("-B {}: only the text protocol is known, ascii or auto", value));
        break;
      case 'F': out.service.allows_flush = false; break;
      case 'A': out.allows_shutdown = true; break;
      case 'C': out.service.has_versions = false; break;
      case 'M': store.evicts = false; break;
      case 'v': set("log.level", "debug"); break;
      case 'V': out.rest.emplace_back("--version"); break;
      default: {
        const refusal* const why = std::ranges::find(refusals, flag, &refusal::flag);
        errors.push_back(fmt::format("-{}: {}", flag, why->reason));
      }
    }
  }

  void listen() {
    const auto add = [this](const std::string& address) {
      out.rest.emplace_back("--listen");
      out.rest.push_back(address);
    };
    // As memcached has it: a unix socket is instead of all others.
    if (!unix_path.empty()) return add("unix:" + unix_path);
    if (!says_where) return;
    if (addresses.empty()) addresses.emplace_back("127.0.0.1");
    for (const std::string& each : addresses) {
      const bool is_bare_v6 = std::count(each.begin(), each.end(), ':') > 1 && !each.starts_with('[');
      const bool has_port = !is_bare_v6 && each.find(':', each.find(']') + 1) != std::string::npos;
      const std::string host = is_bare_v6 ? "[" + each + "]" : each;
      add(has_port ? host : host + ":" + port);
    }
  }
};

}  // namespace

const std::string_view flags::help =
    "The flags of memcached:\n"
    "  -p PORT      the port (11211)\n"
    "  -l ADDRESS   where to listen, with or without a port; several with commas (127.0.0.1)\n"
    "  -s PATH      a unix socket, instead of ports; -a MODE its mode\n"
    "  -m MB        memory of all items (64); the least recently used go, or with -M nothing new is stored\n"
    "  -I SIZE      the longest item, with k or m (1m)\n"
    "  -t N         loops (one per CPU, and no more), -b N backlog\n"
    "  -c N         connections; a client beyond them is closed\n"
    "  -u USER      whom to become, if root starts it\n"
    "  -F           no flush_all, -A shutdown is allowed, -C no cas\n"
    "  -o idle_timeout=SECONDS, -U 0 (there is no UDP), -v (say more)\n"
    "  -f -n -R     are taken and mean nothing here; -d -P -k -r -L -D -S -Y -Z -e are refused, with the "
    "reason\n";

flags read_flags(std::vector<std::string> words, const std::vector<int>& cpus) {
  reading r;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const bool is_ours = word.size() > 1 && word[0] == '-' &&
                         (with_value.find(word[1]) != std::string_view::npos ||
                          without_value.find(word[1]) != std::string_view::npos);
    if (!is_ours) {
      r.out.rest.push_back(word);
      // The value of a flag of weir's own is no flag, whatever it looks like.
      if (word.starts_with("--") && word.find('=') == std::string::npos && i + 1 < words.size() &&
          !words[i + 1].starts_with('-'))
        r.out.rest.push_back(words[++i]);
      continue;
    }
    for (std::size_t at = 1; at < word.size(); ++at) {
      const char flag = word[at];
      if (without_value.find(flag) != std::string_view::npos) {
        r.take(flag, {}, cpus);
        continue;
      }
      if (with_value.find(flag) == std::string_view::npos) {
        r.errors.push_back(fmt::format("-{}: unknown option; see --help", flag));
        continue;
      }
      if (at + 1 < word.size())
        r.take(flag, word.substr(at + 1), cpus);
      else if (i + 1 < words.size())
        r.take(flag, words[++i], cpus);
      else
        r.errors.push_back(fmt::format("-{}: its value is missing; see --help", flag));
      break;
    }
  }
  r.listen();
  if (!r.errors.empty()) throw weir::config_error(std::move(r.errors));
  return std::move(r.out);
}

}  // namespace cache
