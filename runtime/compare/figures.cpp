#include "weir/compare/detail/figures.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string_view>

#include "weir/compare/detail/page.hpp"

namespace weir::compare {
namespace {

std::string duration(double us) {
  if (us < 1000) return fmt::format("{:.0f} µs", us);
  return us < 1e6 ? fmt::format("{:.1f} ms", us / 1000) : fmt::format("{:.1f} s", us / 1e6);
}

double cpu_each(const run_figures& f) { return f.amount() > 0 ? std::max(0.0, f.cpu_us) / f.amount() : 0; }

std::string unit(const run_figures& f) { return f.requests_per_second ? "requests/s" : "bytes/s"; }

std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i)
    out += fmt::format("{}{}", i == 0 ? "" : i + 1 == names.size() ? " and " : ", ", names[i]);
  return out;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    // "</" would end the script in which the page has it.
    if (static_cast<unsigned char>(c) < 0x20 || c == '<')
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + '"';
}

bool has_less_merit(const measured* a, const measured* b) {
  return a->typical().merit() < b->typical().merit();
}

// Those whose figure is not told apart from the least one.
template <typename Figure>
std::vector<const measured*> with_the_least(const std::vector<const measured*>& of, Figure figure,
                                            double bound) {
  double best = INFINITY;
  for (const measured* const each : of) best = std::min(best, figure(each->typical()));
  std::vector<const measured*> out;
  for (const measured* const each : of)
    if (figure(each->typical()) <= best * (1 + bound)) out.push_back(each);
  return out;
}

// Each is a part of the one before.
struct choice {
  std::vector<const measured*> fast;
  std::vector<const measured*> cheap;  // in CPU
  std::vector<const measured*> slim;   // in threads
  std::vector<const measured*> alike;  // in memory as well: nothing tells them apart
  const measured* best = nullptr;
};

// `bounds`: part of the differences within which figures are not told apart.
choice choose(const std::vector<const measured*>& rated, double bounds) {
  choice out;
  const measured& fastest = **std::max_element(rated.begin(), rated.end(), has_less_merit);
  for (const measured* const each : rated) {
    const double noise = std::min(bounds * std::max({equal, fastest.spread() / 2, each->spread() / 2}), 0.5);
    if (each->typical().merit() >= fastest.typical().merit() * (1 - noise)) out.fast.push_back(each);
  }
  const double bound = bounds * equal;
  out.cheap = with_the_least(out.fast, cpu_each, bound);
  out.slim =
      with_the_least(out.cheap, [](const run_figures& f) { return static_cast<double>(f.threads); }, bound);
  out.alike =
      with_the_least(out.slim, [](const run_figures& f) { return static_cast<double>(f.memory); }, bound);
  out.best = *std::min_element(out.alike.begin(), out.alike.end(), [](const measured* a, const measured* b) {
    return cpu_each(a->typical()) < cpu_each(b->typical());
  });
  return out;
}

std::vector<std::string> names_but(const measured& best, const std::vector<const measured*>& of) {
  std::vector<std::string> out;
  for (const measured* const each : of)
    if (each != &best) out.push_back(each->what.name);
  return out;
}

// What is decided by after speed and CPU.
std::string why_of_the_cheap(const choice& c) {
  const auto others = names_but(*c.best, c.cheap);
  if (others.empty()) return "";
  std::vector<std::string> reasons;
  if (c.slim.size() < c.cheap.size()) reasons.emplace_back("the fewest threads");
  if (c.alike.size() < c.slim.size()) reasons.emplace_back("the least memory");
  return fmt::format(", as {} {}{}", others.size() == 1 ? "does" : "do", listed(others),
                     reasons.empty() ? "" : fmt::format("; of these it has {}", listed(reasons)));
}

std::string why_not_measured(const measured& m) {
  if (!m.what.refused.empty() || m.runs.empty()) return m.what.refused;
  return m.runs.back().failed;
}

// Of one that is refused, whatever its form.
std::string model_of(const measured& m) {
  return m.what.refused.empty() ? m.what.name : m.what.name.substr(0, m.what.name.find(','));
}

std::string optional_number(const std::optional<double>& v) { return v ? fmt::format("{:.3f}", *v) : "null"; }

}  // namespace

bool measured::failed() const noexcept {
  return runs.empty() ||
         std::any_of(runs.begin(), runs.end(), [](const auto& r) { return !r.failed.empty(); });
}

const run_figures& measured::typical() const {
  std::vector<const run_figures*> order;
  for (const run_figures& each : runs) order.push_back(&each);
  std::sort(order.begin(), order.end(),
            [](const run_figures* a, const run_figures* b) { return a->merit() < b->merit(); });
  return *order[order.size() / 2];
}

bool measured::serves_everybody() const noexcept {
  return !failed() && std::all_of(runs.begin(), runs.end(), [](const auto& r) {
    return r.starved == 0 && r.served > 0 && r.merit() > 0 && r.keeps_up();
  });
}

double measured::spread() const noexcept {
  double least = INFINITY;
  double most = 0;
  for (const run_figures& each : runs) {
    least = std::min(least, each.merit());
    most = std::max(most, each.merit());
  }
  return least > 0 && !runs.empty() ? most / least - 1 : 0;
}

advice advise(const std::vector<measured>& all, const comparison_facts& facts) {
  advice out;
  std::vector<const measured*> rated;
  for (const measured& each : all)
    if (each.serves_everybody()) rated.push_back(&each);
  if (rated.empty()) {
    out.text = "No model served every client, so nothing is advised.";
    return out;
  }
  const choice chosen = choose(rated, 1);
  const measured& best = *chosen.best;
  const run_figures& f = best.typical();
  out.best = &best;

  out.text = fmt::format("Take {}: {:.0f} {}", best.what.name, f.rate(), unit(f));
  if (f.p99_us)
    out.text += fmt::format(", 99 of 100 answered within {}{}", duration(*f.p99_us),
                            f.is_open_loop ? " of when they were due" : "");
  out.text +=
      fmt::format(", {:.2f} µs of CPU for each {}.", cpu_each(f), f.requests_per_second ? "request" : "byte");
  if (const auto others = names_but(best, chosen.fast); !others.empty())
    out.text += fmt::format(" As fast, as far as these runs tell, {} {}; of those it costs the least CPU{}.",
                            others.size() == 1 ? "is" : "are", listed(others), why_of_the_cheap(chosen));
  const measured& slowest = **std::min_element(rated.begin(), rated.end(), has_less_merit);
  if (std::find(chosen.fast.begin(), chosen.fast.end(), &slowest) == chosen.fast.end())
    out.text +=
        fmt::format(" {} is {:.1f} times slower.", slowest.what.name, f.merit() / slowest.typical().merit());
  std::vector<std::string> starving;
  for (const measured& each : all)
    if (!each.failed() && !each.serves_everybody()) starving.push_back(each.what.name);
  if (!starving.empty()) out.text += fmt::format(" Not every client was served by {}.", listed(starving));

  std::vector<std::string> differing;
  for (const measured& each : all)
    if (std::any_of(each.runs.begin(), each.runs.end(), [](const auto& r) { return !r.different.empty(); }))
      differing.push_back(each.what.name);
  if (!differing.empty())
    out.text += fmt::format(" Some answers were not the recorded ones under {}.", listed(differing));

  std::vector<std::string> doubts;
  const auto same = names_but(best, chosen.alike);
  if (!same.empty())
    doubts.push_back(fmt::format("{} cannot be told from it: another run may name {}", listed(same),
                                 same.size() == 1 ? "that one" : "one of those"));
  // What another run, whose figures differ a little, may say.
  std::vector<const measured*> edge;
  for (const double strictness : {0.5, 1.5})
    if (const measured* const other = choose(rated, strictness).best;
        std::find(chosen.alike.begin(), chosen.alike.end(), other) == chosen.alike.end())
      edge.push_back(other);
  if (!edge.empty())
    doubts.push_back(fmt::format("a little more or less and {} would be taken: another run may name it",
                                 edge.front()->what.name));
  if (best.spread() > 0.2)
    doubts.push_back(
        fmt::format("its own runs differ by {:.0f} %: this machine is noisy, or the runs are too short",
                    best.spread() * 100));
  if (facts.busy > 0.5)
    doubts.push_back(fmt::format("the machine was busy before (load {:.1f})", facts.busy));
  if (best.runs.size() < 3) doubts.emplace_back("there were fewer than three rounds");
  if (f.served < 2 * facts.server_cpus)
    doubts.push_back(fmt::format("{} client{} cannot show what a model does with many", f.served,
                                 f.served == 1 ? "" : "s"));
  const double used = f.seconds > 0 ? f.cpu_us / 1e6 / f.seconds : 0;
  if (!facts.shared_cpus && used < 0.7 * static_cast<double>(facts.server_cpus))
    doubts.push_back(
        fmt::format("the server used {:.1f} of {} CPUs: the load, not the server, may be what limits", used,
                    facts.server_cpus));
  if (facts.shared_cpus) doubts.emplace_back("server and load shared the CPUs");
  if (facts.speed != 0)
    doubts.emplace_back(
        "an open loop tells how long clients wait at this rate, not what a model can do at most");
  if (!f.requests_per_second)
    doubts.emplace_back(
        "the load command tells no requests/s, so bytes were counted; wrk, ab, h2load and "
        "redis-benchmark tell them");
  out.is_certain = same.empty() && edge.empty() && best.spread() <= 0.2 && best.runs.size() >= 2;
  if (!doubts.empty()) {
    out.text += " Doubts: ";
    for (std::size_t i = 0; i < doubts.size(); ++i) out.text += (i == 0 ? "" : "; ") + doubts[i];
    out.text += ".";
  }
  return out;
}

std::string table_of(const std::vector<measured>& all) {
  std::string out = fmt::format("{:<54} {:>11} {:>9} {:>9} {:>9} {:>8} {:>9} {:>8} {:>8} {:>7} {:>8}\n",
                                "model", "requests/s", "p50 us", "p99 us", "p99.9 us", "CPU us", "switches",
                                "threads", "MB", "served", "starved");
  const auto cell = [](const std::optional<double>& v) {
    return v ? fmt::format("{:.0f}", *v) : std::string("-");
  };
  for (const measured& each : all) {
    if (each.failed()) {
      // The forms of a model are refused together.
      const bool is_told =
          &each != all.data() && !each.what.refused.empty() && each.what.refused == (&each - 1)->what.refused;
      if (!is_told) out += fmt::format("{:<54} not measured: {}\n", model_of(each), why_not_measured(each));
      continue;
    }
    const run_figures& f = each.typical();
    const double amount = std::max(f.amount(), 1.0);
    out += fmt::format("{:<54} {:>11} {:>9} {:>9} {:>9} {:>8.2f} {:>9.3f} {:>8} {:>8.1f} {:>7} {:>8}\n",
                       each.what.name, cell(f.requests_per_second), cell(f.p50_us), cell(f.p99_us),
                       cell(f.p999_us), cpu_each(f), std::max(0.0, f.switches) / amount, f.threads,
                       static_cast<double>(f.memory) / 1e6, f.served, f.starved);
  }
  out += "CPU time and context switches are those for each request.\n";
  for (const measured& each : all)
    for (const run_figures& f : each.runs)
      if (!f.different.empty()) {
        out += fmt::format("{}: {}\n", each.what.name, f.different);
        break;
      }
  return out;
}

std::string json_of(const std::vector<measured>& all, const comparison_facts& facts, const advice& what) {
  std::string out = fmt::format(
      R"({{"program":{},"load":{},"kernel":{},"cpus":{},"server_cpus":{},"shared_cpus":{},"busy":{:.2f},"rounds":{},"took":{:.1f},"speed":{},)",
      quoted(facts.program), quoted(facts.load), quoted(facts.kernel), facts.cpus, facts.server_cpus,
      facts.shared_cpus, facts.busy, facts.rounds, facts.took, facts.speed);
  out += fmt::format(R"("advice":{},"certain":{},"best":{},"toml":{},"candidates":[)", quoted(what.text),
                     what.is_certain, what.best == nullptr ? "null" : quoted(what.best->what.name),
                     what.best == nullptr ? "null" : quoted(as_toml(what.best->what)));
  std::string_view comma;
  for (const measured& each : all) {
    out += fmt::format(R"({}{{"name":{},"refused":{},"starves":{},"keys":{{)", comma, quoted(each.what.name),
                       each.what.refused.empty() ? "null" : quoted(each.what.refused),
                       !each.failed() && !each.serves_everybody());
    std::string_view between;
    for (const auto& [key, value] : each.what.keys) {
      out += fmt::format("{}{}:{}", between, quoted(key), quoted(value));
      between = ",";
    }
    out += fmt::format(R"(}},"typical":{},"runs":[)",
                       each.failed() ? "null" : fmt::format("{}", &each.typical() - each.runs.data()));
    between = "";
    for (const run_figures& f : each.runs) {
      const double amount = std::max(f.amount(), 1.0);
      out += fmt::format(
          R"({}{{"failed":{},"seconds":{:.3f},"rate":{:.3f},"requests_per_second":{},"p50_us":{},"p99_us":{},"p999_us":{},"cpu_us":{:.4f},"switches":{:.5f},"bytes_in":{:.0f},"bytes_out":{:.0f},"served":{},"starved":{},"threads":{},"memory_mb":{:.2f},"unanswered":{:.0f},"different":{}}})",
          between, f.failed.empty() ? "null" : quoted(f.failed), f.seconds, f.rate(),
          optional_number(f.requests_per_second), optional_number(f.p50_us), optional_number(f.p99_us),
          optional_number(f.p999_us), cpu_each(f), std::max(0.0, f.switches) / amount, f.bytes_in,
          f.bytes_out, f.served, f.starved, f.threads, static_cast<double>(f.memory) / 1e6, f.unanswered,
          f.different.empty() ? "null" : quoted(f.different));
      between = ",";
    }
    out += "]}";
    comma = ",";
  }
  return out + "]}\n";
}

std::string page_of(const std::string& json) {
  constexpr std::string_view mark = "/* the data */";
  std::string out(page_text());
  return out.replace(out.find(mark), mark.size(), json);
}

}  // namespace weir::compare
