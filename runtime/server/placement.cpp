#include "weir/server/detail/placement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "weir/base/log.hpp"

namespace weir {
namespace {

using observe::figure;

// Five seconds: a share of less says nothing.
constexpr std::uint64_t fewest_ticks = 500;

// Of a CPU's time, in percent.
constexpr std::uint64_t busy_from = 80;
constexpr std::uint64_t much_softirq = 25;
constexpr std::uint64_t little_softirq = 15;

std::string name_of(const placed_loop& l) { return fmt::format("loop {} of worker {}", l.core, l.worker); }

std::string text_of(const cpu_set& cpus) {
  return fmt::format("CPU{} {}", cpus.size() == 1 ? "" : "s", cpus.to_string());
}

std::string text_of(const std::optional<cgroup_quota>& quota) {
  return quota ? fmt::format("{:.2f} CPUs", quota->cpus) : "no limit";
}

// The CPU of a loop that may run on one alone.
std::optional<int> only_cpu(const std::optional<cpu_set>& cpus) {
  if (!cpus || cpus->size() != 1) return std::nullopt;
  return *cpus->begin();
}

class judgement {
 public:
  judgement(const placement& now, const std::map<int, cpu_time>& since,
            const std::optional<cgroup_quota>& granted, const std::vector<drift>& present)
      : now_(now), since_(since), granted_(granted), present_(present) {}

  std::vector<drift> all() {
    for (std::size_t i = 0; i < now_.loops.size(); ++i) judge_loop(i);
    for (std::size_t i = 0; i < now_.loops.size(); ++i)
      for (std::size_t k = i + 1; k < now_.loops.size(); ++k) judge_pair(i, k);
    judge_quota();
    judge_softirq();
    return std::move(out_);
  }

 private:
  void add(std::string name, std::string text) {
    const bool known = std::any_of(out_.begin(), out_.end(), [&](const drift& d) { return d.name == name; });
    if (!known) out_.push_back({std::move(name), std::move(text)});
  }

  void judge_loop(std::size_t i) {
    const placed_loop& loop = now_.loops[i];
    const auto& on = now_.runs_on[i];
    if (!on || !loop.planned) return;
    const int cpu = *loop.planned;
    if (!now_.online.empty() && !now_.online.contains(cpu))
      return add(fmt::format("offline {} {} {}", loop.worker, loop.core, cpu),
                 fmt::format("CPU {} of {} is offline; its thread {} runs on {}", cpu, name_of(loop),
                             loop.thread, text_of(*on)));
    if (only_cpu(on) == cpu) return;
    add(fmt::format("affinity {} {} {}", loop.worker, loop.core, on->to_string()),
        fmt::format("{} (thread {}) runs on {} instead of CPU {}", name_of(loop), loop.thread, text_of(*on),
                    cpu));
  }

  // What the plan itself has is no drift: more workers than CPUs, or both siblings of each core.
  void judge_pair(std::size_t i, std::size_t k) {
    const placed_loop& a = now_.loops[i];
    const placed_loop& b = now_.loops[k];
    const auto on_a = only_cpu(now_.runs_on[i]);
    const auto on_b = only_cpu(now_.runs_on[k]);
    if (!on_a || !on_b || !a.planned || !b.planned || a.planned == b.planned) return;
    if (on_a == on_b)
      return add(fmt::format("one CPU {} {} {} {}", a.worker, a.core, b.worker, b.core),
                 fmt::format("{} and {} share CPU {}", name_of(a), name_of(b), *on_a));
    if (are_siblings(*on_a, *on_b) && !are_siblings(*a.planned, *b.planned))
      add(fmt::format("siblings {} {} {} {}", a.worker, a.core, b.worker, b.core),
          fmt::format("{} and {} share a physical core: CPUs {} and {}", name_of(a), name_of(b), *on_a,
                      *on_b));
  }

  [[nodiscard]] bool are_siblings(int a, int b) const {
    const auto at = now_.siblings.find(a);
    return at != now_.siblings.end() && at->second.contains(b);
  }

  void judge_quota() {
    const auto hundredths = [](const auto& q) { return q ? std::lround(q->cpus * 100) : -1; };
    if (hundredths(now_.quota) == hundredths(granted_)) return;
    add(fmt::format("quota {}", hundredths(now_.quota)),
        fmt::format("the cgroup grants {} to {} loops; at the start it was {}", text_of(now_.quota),
                    now_.loops.size(), text_of(granted_)));
  }

  void judge_softirq() {
    for (std::size_t i = 0; i < now_.loops.size(); ++i) {
      const auto cpu = only_cpu(now_.runs_on[i]);
      if (!cpu) continue;
      const auto now = now_.times.find(*cpu);
      const auto before = since_.find(*cpu);
      if (now == now_.times.end() || before == since_.end()) continue;
      const std::uint64_t all = now->second.all - before->second.all;
      const std::uint64_t idle = now->second.idle - before->second.idle;
      const std::uint64_t softirq = now->second.softirq - before->second.softirq;
      std::string name = fmt::format("softirq {}", *cpu);
      const auto known =
          std::find_if(present_.begin(), present_.end(), [&](const drift& d) { return d.name == name; });
      const bool is_present = known != present_.end();
      if (all < fewest_ticks) {
        if (is_present) add(std::move(name), known->text);
        continue;
      }
      const bool begins = softirq * 100 >= all * much_softirq && (all - idle) * 100 >= all * busy_from;
      const bool goes_on = is_present && softirq * 100 >= all * little_softirq;
      if (begins || goes_on)
        add(std::move(name), fmt::format("CPU {} of {} spends {} % of its time in soft interrupts", *cpu,
                                         name_of(now_.loops[i]), softirq * 100 / all));
    }
  }

  const placement& now_;
  const std::map<int, cpu_time>& since_;
  const std::optional<cgroup_quota>& granted_;
  const std::vector<drift>& present_;
  std::vector<drift> out_;
};

bool has(const std::vector<drift>& all, const std::string& name) {
  return std::any_of(all.begin(), all.end(), [&](const drift& d) { return d.name == name; });
}

}  // namespace

std::vector<placed_loop> loops_of(process::scoreboard& board, const planned_cpu& plan) {
  std::vector<placed_loop> out;
  for (const observe::block& b : board.ledger().used()) {
    const auto whose = b.whose.load();
    const auto thread = static_cast<::pid_t>(b.counted[figure::thread].read());
    if (whose.now != observe::block::owner::state::live || thread == 0) continue;
    const ::pid_t process = board.workers()[whose.row].pid.load();
    if (process != 0)
      out.push_back({whose.worker, whose.core, process, thread, plan(whose.worker, whose.core)});
  }
  std::sort(out.begin(), out.end(), [](const placed_loop& a, const placed_loop& b) {
    return std::tie(a.worker, a.core, a.process) < std::tie(b.worker, b.core, b.process);
  });
  return out;
}

placement look_at(std::vector<placed_loop> loops, const std::string& root, ::pid_t process) {
  placement out;
  out.loops = std::move(loops);
  out.online = online_cpus(root);
  out.times = cpu_times(root);
  out.quota = read_cgroup_quota(root, process);
  const auto note = [&](int cpu) {
    if (!out.siblings.contains(cpu)) out.siblings.emplace(cpu, smt_siblings(cpu, root));
  };
  for (const placed_loop& each : out.loops) {
    out.runs_on.push_back(cpus_of_thread(each.process, each.thread, root));
    if (each.planned) note(*each.planned);
    if (const auto cpu = only_cpu(out.runs_on.back())) note(*cpu);
  }
  return out;
}

std::vector<drift> drifts_of(const placement& now, const std::map<int, cpu_time>& since,
                             const std::optional<cgroup_quota>& granted, const std::vector<drift>& present) {
  return judgement(now, since, granted, present).all();
}

placement_watch::placement_watch(process::scoreboard& board, planned_cpu plan, std::string root)
    : board_(board),
      plan_(std::move(plan)),
      root_(std::move(root)),
      granted_(read_cgroup_quota(root_)),
      times_(cpu_times(root_)) {}

void placement_watch::check() {
  placement now = look_at(loops_of(board_, plan_), root_);
  const std::vector<drift> before = std::exchange(present_, drifts_of(now, times_, granted_, present_));
  for (const auto& [cpu, time] : now.times) {
    cpu_time& since = times_[cpu];
    if (time.all - since.all >= fewest_ticks) since = time;
  }
  std::vector<std::pair<log::level, std::string>> lines;
  for (const drift& each : present_)
    if (!has(before, each.name)) lines.emplace_back(log::level::warning, "placement: " + each.text);
  for (const drift& each : before)
    if (!has(present_, each.name)) lines.emplace_back(log::level::info, "placement: no longer: " + each.text);
  board_.pool().placement_drifts = static_cast<std::uint32_t>(present_.size());
  board_.pool().placement_changes.fetch_add(lines.size());
  for (const auto& [level, text] : lines) log::write(level, text);
}

std::string describe_running(process::scoreboard& board, const planned_cpu& plan, const std::string& root) {
  const ::pid_t master = board.pool().master.load();
  const placement now = look_at(loops_of(board, plan), root, master);
  std::string out = fmt::format("running       process {}\n", master);
  const auto line = [&out](std::string_view label, std::string_view text) {
    out += fmt::format("{:<14}{}\n", label, text);
  };
  for (std::size_t i = 0; i < now.loops.size(); ++i) {
    const placed_loop& each = now.loops[i];
    if (!now.runs_on[i]) continue;
    const std::string_view judged = !each.planned                              ? ""
                                    : only_cpu(now.runs_on[i]) == each.planned ? ", as planned"
                                                                               : ", which is not planned";
    line("",
         fmt::format("{}: thread {} on {}{}", name_of(each), each.thread, text_of(*now.runs_on[i]), judged));
  }
  line("cgroup quota", now.quota ? fmt::format("{} ({})", text_of(now.quota), now.quota->file) : "none");
  const std::vector<drift> found = drifts_of(now, {}, now.quota, {});
  if (found.empty()) line("drift", "none");
  for (const drift& each : found) line(&each == found.data() ? "drift" : "", each.text);
  return out;
}

}  // namespace weir
