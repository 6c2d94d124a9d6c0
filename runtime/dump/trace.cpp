// dump: the recorders of a process as a trace.

#include <algorithm>
#include <cstring>
#include <iterator>
#include <system_error>
#include <vector>

#include "inspection.hpp"
#include "threads.hpp"
#include "turn_names.hpp"
#include "weir/base/detail/json_text.hpp"
#include "weir/base/error.hpp"
#include "weir/dump/detail/recorder.hpp"

namespace weir::dump {
namespace {

using observe::long_turn;
using observe::slow_request;
using observe::turn;
using observe::turn_ring;

constexpr std::size_t most_turns = std::size_t{1} << 21U;
constexpr unsigned worker_tracks = 50'000;  // behind those of the loops
constexpr unsigned slow_tracks = 100'000;   // behind those of the workers

// What one loop has recorded. The last turn has not ended.
struct record {
  std::vector<turn> turns;  // the oldest first
  std::vector<long_turn> long_ones;
  std::vector<slow_request> slow_ones;
};

std::optional<record> read_record(const remote_memory& memory, std::uintptr_t at) {
  copy_of<turn_ring> ring;
  if (!memory.read(at, ring)) return std::nullopt;
  const std::uint64_t written = ring->written();
  const std::size_t size = ring->size();
  if (size == 0 || size > most_turns || written == 0) return std::nullopt;
  std::vector<turn> all(size);
  if (!memory.read(reinterpret_cast<std::uintptr_t>(ring->turns()), all.data(), size * sizeof(turn)))
    return std::nullopt;
  copy_of<turn_ring> afterwards;
  if (!memory.read(at, afterwards)) return std::nullopt;
  record out;
  // One is written before it is counted.
  const std::uint64_t overwritten = afterwards->written() + 1;
  for (std::uint64_t n = overwritten > size ? overwritten - size : 0; n < written; ++n)
    out.turns.push_back(all[n % size]);
  for (const long_turn& t : ring->long_ones())
    if (t.end != 0) out.long_ones.push_back(t);
  for (const slow_request& r : ring->slow_ones())
    if (r.ended != 0) out.slow_ones.push_back(r);
  return out;
}

class trace {
 public:
  void process(::pid_t id, const std::vector<core_report>& cores, turn_names& names) {
    const remote_memory memory(id);
    for (const core_report& c : cores) {
      if (c.turns == 0) continue;
      const auto r = read_record(memory, c.turns);
      if (!r) continue;
      if (!std::exchange(any_, true)) out_ = R"({"displayTimeUnit":"ns","traceEvents":[)";
      track("process_name", id, 0, fmt::format("process {}", id));
      const unsigned at = c.index + 1 + (c.is_loop ? 0 : worker_tracks);
      const std::string name = fmt::format("{} {}", c.is_loop ? "loop" : "worker", c.index);
      track("thread_name", id, at, name);
      track("thread_name", id, at + slow_tracks, "slow requests of " + name);
      const std::uint64_t oldest = r->turns.empty() ? UINT64_MAX : r->turns.front().begin;
      for (const long_turn& t : r->long_ones)
        if (t.what.begin < oldest) turn_event(id, at, t.what, t.end, names);
      for (std::size_t i = 0; i + 1 < r->turns.size(); ++i)
        if (!r->turns[i].is_between_batches() && r->turns[i].chain != turn::handed_over)
          turn_event(id, at, r->turns[i], r->turns[i + 1].begin, names);
      for (const slow_request& s : r->slow_ones)
        event(id, at + slow_tracks, s.ended - s.took, s.took, turn_names::peer_of(s.of), s.of, names);
    }
  }
  [[nodiscard]] bool is_empty() const noexcept { return !any_; }
  [[nodiscard]] std::string take() && { return std::move(out_) + "]}\n"; }

 private:
  void track(std::string_view what, ::pid_t process, unsigned id, const std::string& name) {
    separate();
    fmt::format_to(std::back_inserter(out_),
                   R"({{"ph":"M","name":"{}","pid":{},"tid":{},"args":{{"name":{}}}}})", what, process, id,
                   json_text(name));
  }
  void turn_event(::pid_t process, unsigned track, const turn& t, std::uint64_t end, turn_names& names) {
    event(process, track, t.begin, end - t.begin,
          t.chain == turn::of_loop ? "timers and posts" : turn_names::peer_of(t), t, names);
  }
  void event(::pid_t process, unsigned track, std::uint64_t begin, std::uint64_t length,
             const std::string& peer, const turn& t, turn_names& names) {
    separate();
    const std::string_view handler = names.handler_of(t);
    const std::string_view name = !peer.empty() ? peer : handler.empty() ? "a task" : handler;
    fmt::format_to(std::back_inserter(out_),
                   R"({{"ph":"X","name":{},"pid":{},"tid":{},"ts":{}.{:03},"dur":{}.{:03},)", json_text(name),
                   process, track, begin / 1000, begin % 1000, length / 1000, length % 1000);
    fmt::format_to(std::back_inserter(out_), R"("args":{{"handler":{},"coroutine":{}}}}})",
                   json_text(handler),
                   json_text(t.is_of_a_chain() ? names.coroutine_with(t.coroutine) : std::string()));
  }
  void separate() { out_ += out_.back() == '[' ? "\n" : ",\n"; }

  std::string out_;
  bool any_ = false;
};

}  // namespace

std::string turn_names::peer_of(const turn& t) {
  peer_address peer;
  std::memcpy(static_cast<void*>(&peer), t.peer.data(), sizeof peer);
  return t.is_of_a_chain() && peer.what() != peer_address::kind::none ? peer.to_string() : std::string();
}

const std::string& turn_names::coroutine_with(const void* resume_function) {
  const auto [at, is_new] = known_.try_emplace(resume_function);
  if (is_new && resume_function != nullptr)
    at->second = coroutine_name(symbols_.at(reinterpret_cast<std::uintptr_t>(resume_function) - shift_));
  return at->second;
}

std::string_view turn_names::handler_of(const turn& t) {
  if (!t.is_of_a_chain()) return {};
  for (const void* const each : {t.coroutine, t.root}) {
    const std::string_view name = coroutine_with(each);
    if (!name.empty() && !name.starts_with("weir::")) return name.substr(0, name.find('('));
  }
  const std::string_view root = coroutine_with(t.root);
  return root.substr(0, root.find('('));
}

namespace {

std::string trace_of_all(::pid_t process, const std::vector<::pid_t>& tree) {
  const symbols all;
  trace out;
  for (const ::pid_t each : tree) try {
      turn_names names(all, shift_of(each));
      auto cores = inspection(each, all, nullptr).cores(inspection::reach::loops);
      std::ranges::sort(cores, is_before);
      out.process(each, cores, names);
    } catch (const std::system_error&) {
      if (each == process) throw;  // one below it may end at any time
    }
  if (out.is_empty())
    throw_system_error(ENOMSG,
                       fmt::format("process {} has no recorder: observe.recorder is not set", process));
  return std::move(out).take();
}

}  // namespace

std::string trace_of(::pid_t process) { return trace_of_all(process, tree_of(process)); }

std::string trace_of_one(::pid_t process) { return trace_of_all(process, {process}); }

}  // namespace weir::dump
