#include "weir/dump/detail/dump.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "inspection.hpp"
#include "threads.hpp"
#include "weir/base/detail/json_list.hpp"
#include "weir/base/detail/json_text.hpp"
#include "weir/base/error.hpp"

namespace weir::dump {
namespace {

struct process_report {
  ::pid_t id = 0;
  std::string error;  // why the rest is empty
  std::vector<core_report> cores;
  jobs_report jobs;
  std::vector<thread_report> threads;
};

constexpr std::size_t most_shown = 6;  // of the functions of a stack, in a line of text

std::string_view word(chain_report::now s) {
  constexpr std::string_view words[] = {"runs", "ready", "waits", "ended"};
  return words[static_cast<std::size_t>(s)];
}

double seconds(std::uint64_t ms) { return static_cast<double>(ms) / 1000; }

template <class... Args>
void put(std::string& out, fmt::format_string<Args...> text, Args&&... args) {
  fmt::format_to(std::back_inserter(out), text, std::forward<Args>(args)...);
}

const thread_report* thread_with(int id, const process_report& in) {
  const auto at = std::ranges::find(in.threads, id, &thread_report::id);
  return at == in.threads.end() ? nullptr : &*at;
}

std::string state_of(const thread_report& t) {
  const std::string_view words = t.state == 'R'   ? "on a CPU or ready"
                                 : t.state == 'S' ? "asleep"
                                 : t.state == 'D' ? "waits for a device"
                                 : t.state == 'T' ? "stopped by a signal"
                                 : t.state == 't' ? "stopped by a debugger"
                                                  : "ending";
  std::string out(words);
  std::size_t shown = 0;
  for (const auto& [function, line] : t.stack) {
    // Without lines the innermost function tells most; what calls main() tells nothing.
    if (shown == most_shown || (shown > 0 && line.empty())) continue;
    put(out, "{}{}{}{}", shown++ == 0 ? ", in " : " < ", function, line.empty() ? "" : " at ", line);
  }
  return out;
}

void write_chain(std::string& out, const chain_report& c, std::size_t indent) {
  out += word(c.state);
  if (!c.operation.empty()) put(out, " for {}", c.operation);
  out += c.frames.empty() ? "" : ": ";
  for (std::size_t i = 0; i < c.frames.size(); ++i) {
    const auto& [at, name, line] = c.frames[i];
    put(out, "{}{}{}{}", i == 0 ? "" : " > ", name, line.empty() ? "" : " at ", line);
  }
  out += '\n';
  for (const chain_report& child : c.children) {
    out.append(indent + 2, ' ');
    out += "child ";
    write_chain(out, child, indent + 2);
  }
}

void write_connection(std::string& out, const connection_report& c) {
  put(out, "    {} fd {} {}{}", c.peer, c.fd, name_of(c.in), c.stopping ? " (told to stop)" : "");
  if (c.age_ms) put(out, ", open {:.1f} s", seconds(*c.age_ms));
  if (c.waits_for_ms) put(out, ", quiet {:.1f} s", seconds(*c.waits_for_ms));
  out += ", ";
  write_chain(out, c.chain, 4);
}

void write(std::string& out, const process_report& p) {
  if (!p.error.empty()) {
    out += p.error + '\n';
    return;
  }
  out += fmt::format("process {}: {} cores, {} threads\n", p.id, p.cores.size(), p.threads.size());
  std::vector<int> shown;
  for (const core_report& c : p.cores) {
    put(out, "  {} {}{}: {} connections, {} tasks", c.is_loop ? "core" : "thread of handlers", c.index,
        c.cpu ? fmt::format(" on CPU {}", *c.cpu) : "", c.connections.size(), c.tasks.size());
    if (const auto* const t = thread_with(c.thread, p)) {
      out += fmt::format("; thread {} is {}", t->id, state_of(*t));
      shown.push_back(t->id);
    }
    out += c.cut_short ? "; more than is shown here\n" : "\n";
    for (const connection_report& each : c.connections) write_connection(out, each);
    for (const task_report& each : c.tasks) {
      out += "    task ";
      if (each.age_ms) put(out, "for {:.1f} s, ", seconds(*each.age_ms));
      write_chain(out, each.chain, 4);
    }
  }
  if (p.jobs.waiting != 0 || !p.jobs.running.empty()) {
    out += fmt::format("  offload: {} jobs run, {} wait\n", p.jobs.running.size(), p.jobs.waiting);
    for (const std::string& name : p.jobs.running) out += "    runs: " + name + '\n';
    for (const std::string& name : p.jobs.queued) out += "    waits: " + name + '\n';
  }
  for (const thread_report& t : p.threads)
    if (std::ranges::find(shown, t.id) == shown.end())
      out += fmt::format("  thread {} {}: {}\n", t.id, t.name, state_of(t));
}

// The members of an object, without its braces.
void write_chain_json(std::string& out, const chain_report& c) {
  put(out, R"("state":"{}","operation":{},"frames":)", word(c.state), json_text(c.operation));
  write_list(out, c.frames, [&](const chain_report::frame& f) { out += json_text(f.name); });
  out += R"(,"lines":)";
  write_list(out, c.frames, [&](const chain_report::frame& f) { out += json_text(f.line); });
  out += R"(,"children":)";
  write_list(out, c.children, [&](const chain_report& child) {
    out += '{';
    write_chain_json(out, child);
    out += '}';
  });
}

// A number, or null.
std::string number(const auto& n) { return n ? fmt::to_string(*n) : "null"; }

void write_json(std::string& out, const process_report& p) {
  put(out, R"({{"pid":{},"error":{},"cores":)", p.id, json_text(p.error));
  write_list(out, p.cores, [&](const core_report& c) {
    put(out, R"({{"core":{},"is_loop":{},"cpu":{},"thread":{},"cut_short":{},"connections":)", c.index,
        c.is_loop, number(c.cpu), c.thread, c.cut_short);
    write_list(out, c.connections, [&](const connection_report& each) {
      put(out, R"({{"peer":{},"fd":{},"phase":"{}","stopping":{},"age_ms":{},"waits_ms":{},)",
          json_text(each.peer), each.fd, name_of(each.in), each.stopping, number(each.age_ms),
          number(each.waits_for_ms));
      write_chain_json(out, each.chain);
      out += '}';
    });
    out += R"(,"tasks":)";
    write_list(out, c.tasks, [&](const task_report& each) {
      put(out, R"({{"age_ms":{},)", number(each.age_ms));
      write_chain_json(out, each.chain);
      out += '}';
    });
    out += '}';
  });
  out += R"(,"jobs":{"running":)";
  write_list(out, p.jobs.running, [&](const std::string& name) { out += json_text(name); });
  put(out, R"(,"waiting":{},"queued":)", p.jobs.waiting);
  write_list(out, p.jobs.queued, [&](const std::string& name) { out += json_text(name); });
  out += R"(},"threads":)";
  write_list(out, p.threads, [&](const thread_report& t) {
    put(out, R"({{"id":{},"name":{},"state":"{}","stack":)", t.id, json_text(t.name), t.state);
    write_list(out, t.stack, [&](const thread_report::place& at) {
      put(out, R"({{"function":{},"line":{}}})", json_text(at.function), json_text(at.line));
    });
    out += '}';
  });
  out += '}';
}

// `waits`: null if lines are not wanted.
process_report read(::pid_t process, const symbols& names, source_lines& lines, wait_lines* waits) {
  process_report report{.id = process, .error = {}, .cores = {}, .jobs = {}, .threads = {}};
  report.threads = threads_of(process, shift_of(process), names, lines);
  inspection looks(process, names, waits);
  report.cores = looks.cores();
  report.jobs = looks.jobs();
  std::ranges::sort(report.cores, is_before);
  return report;
}

std::string text_of(const std::vector<process_report>& all, bool as_json) {
  std::string out;
  if (as_json) {
    write_list(out, all, [&](const process_report& p) { write_json(out, p); });
    out += '\n';
  } else {
    for (const process_report& p : all) write(out, p);
  }
  return out;
}

}  // namespace

std::string text_of_this(bool as_json) {
  const symbols names;
  source_lines lines;
  return text_of({read(::getpid(), names, lines, nullptr)}, as_json);
}

std::string text_of(::pid_t process, bool as_json) {
  const symbols names;
  source_lines lines;
  wait_lines waits(names, lines);
  // The first one must be readable; what is below it may end at any time.
  std::vector<process_report> all{read(process, names, lines, &waits)};
  const std::vector<::pid_t> tree = tree_of(process);
  for (const ::pid_t each : tree) {
    if (each == process) continue;
    try {
      all.push_back(read(each, names, lines, &waits));
    } catch (const std::system_error& e) {
      all.push_back({.id = each, .error = e.what(), .cores = {}, .jobs = {}, .threads = {}});
    }
  }
  return text_of(all, as_json);
}

}  // namespace weir::dump
