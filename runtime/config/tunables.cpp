// The table of every tunable, in one file although it is long: key, unit, range and the one line of help. A
// new tunable is a member of settings and one row here.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "rows.hpp"
#include "suggestion.hpp"
#include "weir/config/detail/address_prefix.hpp"

namespace weir {
namespace {

using namespace rows;

tunable addresses() {
  const std::string range =
      "one or more of \"127.0.0.1:7000\", \"[::1]:7000\", \"*:7000\", \"unix:/path\", \"unix:@name\", "
      "\"fd:3\", \"systemd:NAME\"; each also behind \"tls:\", \"proxy:\" or \"proxy:tls:\"";
  return {"listen", "where to accept connections; one string or a list", range,
          [](const settings& s) {
            std::vector<std::string> each;
            for (const auto& address : s.listen) each.push_back(quoted(address));
            return fmt::format("[{}]", fmt::join(each, ", "));
          },
          [=](settings& s, const written& value) -> std::string {
            auto list = texts_of(value);
            if (!list || list->empty() || std::find(list->begin(), list->end(), "") != list->end())
              return expected("addresses", value, range);
            s.listen = *std::move(list);
            return {};
          }};
}

tunable cores() {
  const std::string range = "\"auto\", CPU numbers \"0-3,8\", in a file also [0, 2]";
  return {"cores.use", "the CPUs that run loops; auto: every allowed one, within the cgroup quota", range,
          [](const settings& s) { return quoted(s.cores.use); },
          [=](settings& s, const written& value) -> std::string {
            std::string use;
            if (const auto* list = std::get_if<std::vector<std::string>>(&value))
              use = fmt::format("{}", fmt::join(*list, ","));
            else if (const auto* text = text_of(value))
              use = *text;
            if (use.empty() || (use != "auto" && use.find_first_not_of("0123456789,-") != std::string::npos))
              return expected("CPUs", value, range);
            s.cores.use = std::move(use);
            return {};
          }};
}

template <class Member>
tunable path(std::string_view key, Member member, std::string help) {
  const std::string range = "\"\" or an absolute path";
  return {key, std::move(help), range, [=](const settings& s) { return quoted(member(s)); },
          [=](settings& s, const written& value) -> std::string {
            const auto* text = text_of(value);
            if (text == nullptr) return expected("a path", value, range);
            if (!text->empty() && text->front() != '/')
              return fmt::format("{} is no absolute path; allowed: {}", quoted(*text), range);
            member(s) = *text;
            return {};
          }};
}

// A text of at most 4096 characters, which others judge.
template <class Member>
tunable text(std::string_view key, Member member, const std::string& range, std::string help) {
  return {key, std::move(help), range, [=](const settings& s) { return quoted(member(s)); },
          [=](settings& s, const written& value) -> std::string {
            const auto* given = text_of(value);
            if (given == nullptr) return expected("a text", value, range);
            if (given->size() > 4096) return out_of_range(value, range);
            member(s) = *given;
            return {};
          }};
}

// One string or a list of them. Each is checked by `why_not`, which says what is wrong with it, or nothing.
template <class Member>
tunable list(std::string_view key, std::string_view what, const std::string& range, Member member,
             std::string help, std::string (*why_not)(const std::string&)) {
  return {key, std::move(help), range,
          [=](const settings& s) {
            std::vector<std::string> each;
            for (const auto& one : member(s)) each.push_back(quoted(one));
            return fmt::format("[{}]", fmt::join(each, ", "));
          },
          [=](settings& s, const written& value) -> std::string {
            auto all = texts_of(value);
            if (!all) return expected(what, value, range);
            for (const std::string& each : *all)
              if (std::string wrong = why_not(each); !wrong.empty())
                return fmt::format("{}; allowed: {}", wrong, range);
            member(s) = *std::move(all);
            return {};
          }};
}

std::string why_no_path(const std::string& text) {
  return text.starts_with('/') ? "" : fmt::format("{} is no absolute path", quoted(text));
}

std::string why_no_balancer(const std::string& text) {
  return text == "unix" || address_prefix::parse(text)
             ? ""
             : fmt::format("{} is no address, no prefix and not \"unix\"", quoted(text));
}

std::string why_no_header(const std::string& text) {
  const bool right = !text.empty() && text.size() <= 255 && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != ':';
  });
  return right ? "" : fmt::format("{} is no name of a header", quoted(text));
}

std::string why_no_protocol(const std::string& text) {
  return text.empty() || text.size() > 255 ? fmt::format("{} is no name of a protocol", quoted(text)) : "";
}

// A name that the system knows, or none.
template <class Member>
tunable account(std::string_view key, Member member, std::string help) {
  const std::string range = "\"\" or a name that this system knows";
  return {key, std::move(help), range, [=](const settings& s) { return quoted(member(s)); },
          [=](settings& s, const written& value) -> std::string {
            const auto* text = text_of(value);
            if (text == nullptr) return expected("a name", value, range);
            member(s) = *text;
            return {};
          }};
}

tunable processes() {
  constexpr std::int64_t most = 256;
  const auto range = fmt::format("\"auto\", 1..{} processes", most);
  return {"processes.count", "worker processes of model process-pool; auto: as many as there are cores",
          range,
          [](const settings& s) {
            return s.processes.count == 0 ? quoted("auto") : fmt::format("{}", s.processes.count);
          },
          [=](settings& s, const written& value) -> std::string {
            const auto* text = text_of(value);
            std::optional<std::int64_t> number;
            if (const auto* plain = std::get_if<untyped>(&value)) number = parse_integer(plain->text);
            if (const auto* typed = std::get_if<std::int64_t>(&value)) number = *typed;
            if (text != nullptr && *text == "auto") {
              s.processes.count = 0;
              return {};
            }
            if (!number) return expected("a number of processes", value, range);
            if (*number < 1 || *number > most) return out_of_range(value, range);
            s.processes.count = static_cast<std::uint32_t>(*number);
            return {};
          }};
}

std::vector<tunable> make_tunables() {
  using namespace std::chrono_literals;
  constexpr std::int64_t kib = 1024;
  return {
      addresses(),
      choice(
          "model", [](auto& s) -> auto& { return s.model; }, "the concurrency model; see --list-models"),
      choice(
          "io", [](auto& s) -> auto& { return s.io; },
          "how a loop does I/O: epoll: system calls when a socket is ready; io_uring: the kernel receives "
          "ahead of handlers; auto: "
          "io_uring where the model and the kernel allow it"),

      text(
          "admin", [](auto& s) -> auto& { return s.admin.address; },
          "\"\" or one address as of listen: a unix socket or one of this host; with admin_token any",
          "where operators read /metrics, /status, /ready and /live; empty: nowhere"),
      text(
          "admin_token", [](auto& s) -> auto& { return s.admin.token; }, "\"\" or 16..256 characters",
          "what clients of admin must send as \"Authorization: Bearer TOKEN\"; empty: nothing"),

      cores(),
      fact(
          "cores.pin", [](auto& s) -> auto& { return s.cores.pin; }, "bind each loop to its CPU"),
      duration(
          "cores.check", 0ms, 24h, [](auto& s) -> auto& { return s.cores.check; },
          "how often it is looked whether loops still run where they were placed; a change is logged; 0s: "
          "never"),

      choice(
          "distribute.policy", [](auto& s) -> auto& { return s.distribute.policy; },
          "how the loop or worker of a new connection is chosen; kernel: a listening socket per loop "
          "(SO_REUSEPORT)"),
      fact(
          "distribute.pin_incoming", [](auto& s) -> auto& { return s.distribute.pin_incoming; },
          "with policy kernel: serve a connection on the CPU that received it"),
      count(
          "distribute.seed", "", 0, 4'294'967'295, [](auto& s) -> auto& { return s.distribute.seed; },
          "of the policies that draw at random; 0: a new one at each start"),

      count(
          "limits.connections", "connections", 1, 10'000'000,
          [](auto& s) -> auto& { return s.limits.connections; },
          "connections open at once; at the limit no more are accepted"),
      duration(
          "limits.idle_timeout", 0ms, 24h, [](auto& s) -> auto& { return s.limits.idle_timeout; },
          "close a connection on which an operation waits so long without a byte moving; 0s: never"),
      duration(
          "limits.drain_delay", 0ms, 1h, [](auto& s) -> auto& { return s.limits.drain_delay; },
          "how long a server that was told to stop serves on and says that it will stop, before it drains"),
      duration(
          "limits.drain_timeout", 0ms, 24h, [](auto& s) -> auto& { return s.limits.drain_timeout; },
          "how long a stopping server waits for its connections to end"),
      choice(
          "limits.excess", [](auto& s) -> auto& { return s.limits.excess; },
          "a client beyond limits.connections waits in the kernel's queue, or is closed at once"),
      count(
          "limits.connections_per_ip", "connections", 0, 10'000'000,
          [](auto& s) -> auto& { return s.limits.connections_per_ip; },
          "connections that one client address may have; a further one is closed at once; 0: no limit"),
      duration(
          "limits.stall", 0ms, 1h, [](auto& s) -> auto& { return s.limits.stall; },
          "report a handler that holds its core for so long; 0s: never"),

      size(
          "observe.recorder", 0, 1024 * kib * kib, [](auto& s) -> auto& { return s.observe.recorder; },
          "memory of each loop, and worker thread, for its last turns, which --recorder and /recorder tell; "
          "0: none is kept"),
      duration(
          "observe.slow", 0ms, 1h, [](auto& s) -> auto& { return s.observe.slow; },
          "with a recorder: report a request that takes so long, and what its loop did meanwhile; 0s: never"),

      list(
          "proxy.trusted", "addresses",
          "addresses and prefixes, \"192.0.2.7\", \"10.0.0.0/8\", \"::1\", and \"unix\"",
          [](auto& s) -> auto& { return s.proxy.trusted; },
          "the balancers from which a listener takes a header of the PROXY protocol; unix: local ones",
          why_no_balancer),
      duration(
          "proxy.timeout", 1ms, 1h, [](auto& s) -> auto& { return s.proxy.timeout; },
          "how long a header of the PROXY protocol may take; then its connection is closed"),

      count(
          "socket.backlog", "connections", 1, 65535, [](auto& s) -> auto& { return s.socket.backlog; },
          "connections waiting to be accepted; the kernel caps it at net.core.somaxconn"),
      fact(
          "socket.nodelay", [](auto& s) -> auto& { return s.socket.nodelay; },
          "TCP_NODELAY: send small messages at once"),
      mode(
          "socket.unix_mode", [](auto& s) -> auto& { return s.socket.unix_mode; },
          "permissions of a unix socket's file"),

      size(
          "loop.chunk_size", 512, 1024 * kib, [](auto& s) -> auto& { return s.loop.chunk_size; },
          "bytes of one receive buffer"),
      count(
          "loop.idle_chunks", "buffers", 0, 65536, [](auto& s) -> auto& { return s.loop.idle_chunks; },
          "free buffers, for receiving and for replies, that a core keeps"),
      count(
          "loop.inline_budget", "operations", 1, 65536, [](auto& s) -> auto& { return s.loop.inline_budget; },
          "operations that a coroutine completes without waiting before others run"),
      count(
          "loop.polls_per_turn", "polls", 1, 1024, [](auto& s) -> auto& { return s.loop.polls_per_turn; },
          "waits before timers and posted work are served"),
      count(
          "loop.events", "events", 1, 65536, [](auto& s) -> auto& { return s.loop.events; },
          "socket events taken per wait"),
      count(
          "loop.ring_buffers", "buffers", 8, 32768, [](auto& s) -> auto& { return s.loop.ring_buffers; },
          "io_uring: receive buffers that the kernel has of each loop; rounded up to a power of two"),
      count(
          "loop.read_ahead", "buffers", 0, 32768, [](auto& s) -> auto& { return s.loop.read_ahead; },
          "io_uring: full buffers of one connection beyond which it is read only when its handler reads"),

      count(
          "workers.count", "threads", 1, 1024, [](auto& s) -> auto& { return s.workers.count; },
          "threads for handlers (model loop-with-workers) and for blocking or heavy work (offload)"),
      count(
          "workers.queue", "jobs", 1, 10'000'000, [](auto& s) -> auto& { return s.workers.queue; },
          "jobs that wait for such a thread; a further one is refused, and sockets are not read meanwhile"),
      choice(
          "workers.io", [](auto& s) -> auto& { return s.workers.io; },
          "model loop-with-workers: the loop reads and writes for its workers, or they do it themselves"),
      count(
          "workers.most", "threads", 1, 32768, [](auto& s) -> auto& { return s.workers.most; },
          "threads of the models that start one per connection or per event"),

      processes(),
      choice(
          "processes.accept", [](auto& s) -> auto& { return s.processes.accept; },
          "how workers take connections: shared: a blocking accept in each worker; mutex: the worker that "
          "holds a "
          "lock; "
          "reuseport: a socket per worker; notify: the worker that the master tells; dispatch: the master"),
      count(
          "processes.loops", "loops", 1, 1024, [](auto& s) -> auto& { return s.processes.loops; },
          "CPUs of one worker process: a loop on each, where its model has several"),
      choice(
          "processes.model", [](auto& s) -> auto& { return s.processes.model; },
          "what each worker process is inside, any model but process-pool"),
      choices(
          "processes.models", [](auto& s) -> auto& { return s.processes.models; },
          "the models of workers 0, 1 and so on, from the first again behind the last; empty: "
          "processes.model"),
      duration(
          "processes.start_timeout", 0ms, 24h, [](auto& s) -> auto& { return s.processes.start_timeout; },
          "replace a worker that has not begun to serve after so long; 0s: never"),
      duration(
          "processes.stuck_timeout", 0ms, 24h, [](auto& s) -> auto& { return s.processes.stuck_timeout; },
          "replace a worker that has served and whose loops have not turned for so long; 0s: never"),
      count(
          "processes.max_connections_per_worker", "connections", 0, 4'000'000'000,
          [](auto& s) -> auto& { return s.processes.max_connections_per_worker; },
          "replace a worker that has had so many, give or take a tenth; 0: never"),
      size(
          "processes.memory_limit", 0, 1024 * kib * kib * kib,
          [](auto& s) -> auto& { return s.processes.memory_limit; },
          "replace a worker that holds more resident memory; 0: never"),
      path(
          "processes.pid_file", [](auto& s) -> auto& { return s.processes.pid_file; },
          "where the master of a pool writes its process id; --status finds the pool by it"),

      account(
          "privileges.user", [](auto& s) -> auto& { return s.privileges.user; },
          "the user that the serving processes become once the sockets are open; only root can"),
      account(
          "privileges.group", [](auto& s) -> auto& { return s.privileges.group; },
          "their only group; empty: that of the user"),
      fact(
          "privileges.no_new_privs", [](auto& s) -> auto& { return s.privileges.no_new_privs; },
          "a program that they execute gains no privileges"),

      list(
          "tls.certificate", "paths", "absolute paths, one string or a list",
          [](auto& s) -> auto& { return s.tls.certificate; },
          "PEM files, a certificate and its chain in each; chosen by the name that a client asks for, else "
          "the first",
          why_no_path),
      list(
          "tls.key", "paths", "absolute paths, one string or a list",
          [](auto& s) -> auto& { return s.tls.key; },
          "PEM files, the key of the certificate in the same place of tls.certificate", why_no_path),
      choice(
          "tls.minimum_version", [](auto& s) -> auto& { return s.tls.minimum_version; },
          "the oldest version of TLS that is spoken"),
      text(
          "tls.ciphers", [](auto& s) -> auto& { return s.tls.ciphers; },
          "\"\" or a list of ciphers as OpenSSL writes it",
          "of version 1.2; empty: those with forward secrecy and AEAD"),
      text(
          "tls.ciphersuites", [](auto& s) -> auto& { return s.tls.ciphersuites; },
          "\"\" or a list of cipher suites as OpenSSL writes it", "of version 1.3; empty: OpenSSL's choice"),
      list(
          "tls.alpn", "names of protocols", "names of protocols, such as \"http/1.1\", one string or a list",
          [](auto& s) -> auto& { return s.tls.alpn; },
          "protocols of which one is agreed on with clients that offer any, the preferred first; empty: none",
          why_no_protocol),
      choice(
          "tls.verify", [](auto& s) -> auto& { return s.tls.verify; },
          "whether clients are asked for a certificate, and refused without one"),
      path(
          "tls.ca", [](auto& s) -> auto& { return s.tls.ca; },
          "PEM file with the authorities whose certificates of clients are believed"),
      fact(
          "tls.tickets", [](auto& s) -> auto& { return s.tls.tickets; },
          "clients may resume a session without a full handshake"),
      duration(
          "tls.ticket_lifetime", 1s, 168h, [](auto& s) -> auto& { return s.tls.ticket_lifetime; },
          "how long they may; the keys of tickets change as often"),
      duration(
          "tls.handshake_timeout", 1ms, 1h, [](auto& s) -> auto& { return s.tls.handshake_timeout; },
          "cut a client whose handshake is not over after so long, whatever it sends"),
      count(
          "tls.handshakes", "handshakes", 1, 1'000'000, [](auto& s) -> auto& { return s.tls.handshakes; },
          "of one loop at a time; further clients wait"),
      fact(
          "tls.offload_keys", [](auto& s) -> auto& { return s.tls.offload_keys; },
          "where handlers run on the loop: handshakes use private keys on the threads of workers.count"),
      path(
          "tls.key_log", [](auto& s) -> auto& { return s.tls.key_log; },
          "file to which the secrets of every connection are appended, with which all of its "
          "bytes can be read; for debugging; empty: none"),

      path(
          "record.file", [](auto& s) -> auto& { return s.record.file; },
          "file in which it is written down what clients send, and when; in a pool one for each worker; "
          "empty: none"),
      fact(
          "record.answers", [](auto& s) -> auto& { return s.record.answers; },
          "what clients are sent is written down too"),
      size(
          "record.size", 64 * kib, 1024 * kib * kib * kib, [](auto& s) -> auto& { return s.record.size; },
          "of the file; then recording ends"),
      duration(
          "record.time", 100ms, 8760h, [](auto& s) -> auto& { return s.record.time; },
          "how long is recorded"),
      count(
          "record.share", "percent", 1, 100, [](auto& s) -> auto& { return s.record.share; },
          "of the connections that are recorded"),
      list(
          "record.redact", "names of headers", "names of headers, one string or a list",
          [](auto& s) -> auto& { return s.record.redact; },
          "headers of HTTP whose values are written down as so many \"x\"", why_no_header),
      fact(
          "record.tls_plaintext", [](auto& s) -> auto& { return s.record.tls_plaintext; },
          "connections over TLS are recorded too, decrypted"),

      count(
          "compare.rounds", "rounds", 1, 100, [](auto& s) -> auto& { return s.compare.rounds; },
          "--compare: runs of each model"),
      duration(
          "compare.time", 100ms, 1h, [](auto& s) -> auto& { return s.compare.time; },
          "--compare: of one run; {seconds} in a load command"),
      duration(
          "compare.most", 1s, 24h, [](auto& s) -> auto& { return s.compare.most; },
          "--compare: for all runs; fewer rounds are made, or shorter runs, than were asked for"),
      count(
          "compare.speed", "percent", 0, 100'000, [](auto& s) -> auto& { return s.compare.speed; },
          "--compare with a recording: each request is sent when it was, at that part of the recorded speed, "
          "and its time runs from there; 0: it is sent when the one before is answered"),
      path(
          "compare.output", [](auto& s) -> auto& { return s.compare.output; },
          "--compare: folder of compare.html and compare.json; empty: the present one"),

      choice(
          "log.level", [](auto& s) -> auto& { return s.log.level; }, "lines below it are dropped"),
      fact(
          "log.distribute", [](auto& s) -> auto& { return s.log.distribute; },
          "a line for each decision of the policy, with the loads it was taken on"),
      path(
          "log.file", [](auto& s) -> auto& { return s.log.file; },
          "where log lines and all of standard error go; empty: standard error as it is"),
  };
}

}  // namespace

std::span<const tunable> tunables() {
  static const std::vector<tunable> table = make_tunables();
  return table;
}

const tunable* find_tunable(std::string_view key, std::span<const tunable> among) {
  for (const auto& each : among)
    if (each.key == key) return &each;
  return nullptr;
}

std::string variable_of(std::string_view key) {
  std::string name = "WEIR_";
  for (const char c : key)
    name += c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
  return name;
}

std::string key_suggestion(std::string_view wrong, std::span<const tunable> among) {
  if (const auto* known = find_foreign_word(wrong)) return fmt::format("; {}", known->key);
  std::vector<std::string> keys;
  for (const auto& each : among) {
    // A missing or wrong section is the commonest mistake.
    const auto last = [](std::string_view key) { return key.substr(key.rfind('.') + 1); };
    if (last(each.key) == last(wrong)) return fmt::format("; did you mean \"{}\"?", each.key);
    keys.emplace_back(each.key);
  }
  return suggestion(wrong, keys);
}

}  // namespace weir
