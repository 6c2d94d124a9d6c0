#include "inspection.hpp"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <new>

#include "weir/connection/detail/connection_table.hpp"
#include "weir/core/detail/spawned.hpp"
#include "weir/dump/detail/dump.hpp"

namespace weir::dump {
namespace {

constexpr std::size_t most_cores = 4096;
constexpr std::size_t most_frames = 64;
constexpr unsigned deepest = 16;
constexpr std::size_t most_slabs = most_connections;
constexpr std::size_t most_of_frame = 4096;
constexpr std::size_t most_jobs = 64;

// Where the base B lies in a D.
template <class B, class D>
std::uintptr_t offset_in(const D& copy) noexcept {
  return reinterpret_cast<std::uintptr_t>(static_cast<const B*>(&copy)) -
         reinterpret_cast<std::uintptr_t>(&copy);
}

std::uintptr_t promise_in_frame() noexcept {
  alignas(16) static std::byte frame[sizeof(detail::promise_base) + 64];
  const auto& promise = detail::promise_base::of(std::coroutine_handle<>::from_address(frame));
  return reinterpret_cast<std::uintptr_t>(&promise) - reinterpret_cast<std::uintptr_t>(frame);
}

std::uint32_t milliseconds_now() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint32_t>(t.tv_sec * 1000 + t.tv_nsec / 1'000'000);
}

}  // namespace

inspection::inspection(::pid_t process, const symbols& names, wait_lines* lines)
    : names_(names),
      lines_(lines),
      memory_(process),
      shift_(shift_of(process)),
      now_ms_(milliseconds_now()),
      left_(most_connections) {}

std::vector<core_report> inspection::cores(reach r) {
  std::vector<core_report> found;
  std::uintptr_t at = memory_.word(reinterpret_cast<std::uintptr_t>(&core::first_) + shift_);
  for (; at != 0 && found.size() < most_cores;) {
    copy_of<core> c;
    if (!memory_.read(at, c)) break;
    core_report& now = found.emplace_back();
    now.index = c->index_;
    now.cpu = c->cpu_;
    now.thread = c->thread_id_.load(std::memory_order_relaxed);
    copy_of<io::driver> of_core;
    const bool readable = memory_.read(static_cast<const io::driver*>(c->driver_.get()), of_core);
    running_ = readable ? reinterpret_cast<std::uintptr_t>(of_core->running()) : 0;
    now.turns = readable ? reinterpret_cast<std::uintptr_t>(of_core->turns()) : 0;
    at = reinterpret_cast<std::uintptr_t>(c->next_);
    if (r == reach::loops) continue;
    pools_.insert(c->offload_);
    if (c->connections_ != nullptr) read_connections(c->connections_, now);
    for (const core::spawned* task = c->spawned_; task != nullptr && left_ > 0; --left_) {
      copy_of<core::spawned> t;
      if (!memory_.read(task, t)) break;
      const auto frame = reinterpret_cast<std::uintptr_t>(t->frame_.address());
      now.tasks.push_back(
          read_chain(reinterpret_cast<std::uintptr_t>(task) + offset_in<chain>(*t), *t, frame, 0));
      task = t->next_;
    }
    now.cut_short = left_ == 0;
  }
  return found;
}

void inspection::read_connections(const connection_table* at, core_report& into) {
  copy_of<connection_table> table;
  if (!memory_.read(at, table)) return;
  const auto count = std::min(table->slabs_.size(), most_slabs);
  std::vector<std::uintptr_t> slabs(count);
  if (!memory_.read(reinterpret_cast<std::uintptr_t>(table->slabs_.data()), slabs.data(),
                    count * sizeof slabs[0]))
    return;
  // A slab finds its states by its own address.
  const std::unique_ptr<std::byte, void (*)(void*)> memory(
      static_cast<std::byte*>(std::aligned_alloc(state_slab::size, state_slab::size)), std::free);
  if (!memory) throw std::bad_alloc();
  const auto& slab = *reinterpret_cast<const state_slab*>(memory.get());
  for (const std::uintptr_t there : slabs) {
    if (there % state_slab::size != 0 || !memory_.read(there, memory.get(), state_slab::size)) continue;
    for (std::size_t i = 0; i < state_slab::most && left_ > 0; ++i, --left_) {
      const connection_state* const c = slab.first_from(i);
      if (c == nullptr) break;
      const auto distance =
          reinterpret_cast<std::uintptr_t>(c) - reinterpret_cast<std::uintptr_t>(memory.get());
      if (auto report = connection_at(there + distance, *c)) into.connections.push_back(std::move(*report));
    }
  }
}

std::optional<connection_report> inspection::connection_at(std::uintptr_t at, const connection_state& c) {
  connection_report report;
  report.in = c.phase_;
  if (report.in > phase::ended) return std::nullopt;
  report.peer = peer_of(c);
  report.fd = c.fd;
  report.stopping = c.is_stopping();
  const auto frame = reinterpret_cast<std::uintptr_t>(c.handler_.address());
  report.chain = read_chain(at + offset_in<chain>(c), c, frame, 0);
  if (report.chain.state == chain_report::now::waits) {
    const std::uint32_t since = now_ms_ - c.active_at;
    report.waits_for_ms = since < 0x8000'0000U ? since : 0;
  }
  return report;
}

std::string inspection::peer_of(const connection_state& c) {
  if (!c.peer_.in_block()) return c.peer_.get().to_string();
  copy_of<peer_address> first_in_block;
  return memory_.read(std::uintptr_t{c.peer_.bits_ & ~kept_peer::kind_bits}, first_in_block)
             ? first_in_block->to_string()
             : "unknown";
}

chain_report inspection::read_chain(std::uintptr_t at, const chain& copy, std::uintptr_t root_frame,
                                    unsigned depth) {
  chain_report report;
  if (root_frame == 0) return report;
  read_frames(root_frame, report);
  if (at == running_) {
    report.state = chain_report::now::runs;
    return report;
  }
  if (!copy.has_no_children() && depth < deepest) read_scopes(at, depth, report);
  report.state = copy.is_queued() ? chain_report::now::ready : chain_report::now::waits;
  const auto waits = reinterpret_cast<std::uintptr_t>(copy.suspended_);
  struct head {
    std::uintptr_t kind;
    std::uintptr_t root;
  } op{};
  static_assert(sizeof(operation) == sizeof(head));
  if (waits == 0 || !memory_.read(waits, &op, sizeof op) || op.root != at) return report;
  const auto [known, is_new] = operations_.try_emplace(op.kind);
  if (is_new) known->second = operation_name(name_of_address(op.kind));
  report.operation = known->second;  // none: it has just ended
  return report;
}

void inspection::read_frames(std::uintptr_t root_frame, chain_report& into) {
  static const std::uintptr_t distance = promise_in_frame();
  for (std::uintptr_t frame = root_frame; frame != 0 && into.frames.size() < most_frames;) {
    const std::uintptr_t resume = memory_.word(frame);
    if (resume == 0) break;  // it has ended
    const auto [known, is_new] = coroutines_.try_emplace(resume);
    if (is_new) known->second = coroutine_name(name_of_address(resume));
    const std::string& name = known->second;
    if (name.empty()) break;  // it is no frame any more, or this program has no symbols
    std::string line;
    if (lines_ != nullptr) line = lines_->at(resume - shift_, memory_, frame);
    into.frames.push_back({frame, name, std::move(line)});
    copy_of<detail::promise_base> promise;
    if (!memory_.read(frame + distance, promise)) break;
    const auto* const awaited = promise->awaited();
    frame = awaited != nullptr ? memory_.word(reinterpret_cast<std::uintptr_t>(awaited)) : 0;
  }
}

// A scope lies in a frame of its parent, and each of its children knows it. So what looks like a scope there
// is one if the child that it points to says so, and its parent is this chain: behind the end of a frame
// others begin.
void inspection::read_scopes(std::uintptr_t parent, unsigned depth, chain_report& into) {
  using detail::children;
  const children example(children::policy::cancel_on_error);
  const auto first_child = static_cast<std::size_t>(reinterpret_cast<const std::byte*>(&example.first_) -
                                                    reinterpret_cast<const std::byte*>(&example));
  const std::vector<chain_report::frame> frames = into.frames;
  std::set<std::uintptr_t> found;  // frames of a chain may lie side by side
  for (const chain_report::frame& f : frames) {
    const std::vector<std::byte> bytes = memory_.piece(f.at, most_of_frame);
    for (std::size_t at = 0; at + sizeof(children) <= bytes.size(); at += alignof(children)) {
      std::uintptr_t first = 0;
      std::memcpy(&first, bytes.data() + at + first_child, sizeof first);
      copy_of<detail::child> c;
      if (first == 0 || !memory_.read(first, c) || reinterpret_cast<std::uintptr_t>(c->owner_) != f.at + at)
        continue;
      copy_of<children> scope;
      if (memory_.read(f.at + at, scope) && reinterpret_cast<std::uintptr_t>(scope->parent_) == parent &&
          found.insert(f.at + at).second)
        read_children(*scope, depth, into);
    }
  }
}

void inspection::read_children(const detail::children& of, unsigned depth, chain_report& into) {
  for (const detail::child* at = of.first_; at != nullptr && left_ > 0; --left_) {
    copy_of<detail::child> c;
    if (!memory_.read(at, c)) return;
    if (!c->ended_)
      into.children.push_back(read_chain(reinterpret_cast<std::uintptr_t>(at) + offset_in<chain>(*c), *c,
                                         reinterpret_cast<std::uintptr_t>(c->frame_.address()), depth + 1));
    at = c->next_;
  }
}

// A job has no name, but its class has, which holds the function.
std::string inspection::job_at(const offload_pool::job* at) {
  std::string name = demangled(name_of_address(memory_.word(reinterpret_cast<std::uintptr_t>(at))));
  constexpr std::string_view before = "vtable for weir::detail::offload_work<";
  if (!name.starts_with(before)) return {};  // it is gone
  name.erase(0, before.size());
  if (name.ends_with('>')) name.pop_back();
  return without_namespaces(std::move(name));
}

jobs_report inspection::jobs() {
  jobs_report out;
  for (const offload_pool* const each : pools_) {
    copy_of<offload_pool> pool;
    if (!memory_.read(each, pool)) continue;
    std::vector<offload_pool::running> run(std::min(pool->running_.size(), most_jobs));
    if (memory_.read(reinterpret_cast<std::uintptr_t>(pool->running_.data()), run.data(),
                     run.size() * sizeof run[0]))
      for (const auto& r : run)
        if (std::string name = job_at(r.what); !name.empty()) out.running.push_back(std::move(name));
    out.waiting += pool->queued_;
    for (const offload_pool::job* at = pool->first_; at != nullptr && out.queued.size() < most_jobs;) {
      copy_of<offload_pool::job> job;
      if (!memory_.read(reinterpret_cast<std::uintptr_t>(at), job)) break;
      if (std::string name = job_at(at); !name.empty()) out.queued.push_back(std::move(name));
      at = job->next_;
    }
  }
  return out;
}

}  // namespace weir::dump
