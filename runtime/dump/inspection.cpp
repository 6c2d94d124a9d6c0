#include "inspection.hpp"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <new>
#include <unordered_set>

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

// What is read together: so much of memory of states, and so many chains of a list; and of each chain so much
// of the frames of its outer coroutines.
constexpr std::size_t slabs_at_once = std::max<std::size_t>(131'072 / state_slab::size, 1);
constexpr std::size_t chains_at_once = 512;
constexpr std::size_t fetched_of_frame = 256;
constexpr unsigned fetched_depth = 8;

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

std::uint64_t milliseconds_now() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec * 1000 + t.tv_nsec / 1'000'000);
}

}  // namespace

inspection::inspection(::pid_t process, const symbols& names, wait_lines* lines)
    : names_(names),
      lines_(lines),
      memory_(process),
      shift_(shift_of(process)),
      now_ms_(milliseconds_now()),
      left_(most_connections) {}

bool is_before(const core_report& a, const core_report& b) noexcept {
  return a.is_loop != b.is_loop ? a.is_loop : a.index < b.index;
}

std::vector<core_report> inspection::cores(reach r) {
  std::vector<core_report> found;
  std::vector<copy_of<core>> copies;
  std::vector<std::uintptr_t> addresses;
  std::uintptr_t at = memory_.word(reinterpret_cast<std::uintptr_t>(&core::first_) + shift_);
  for (; at != 0 && found.size() < most_cores;) {
    copy_of<core>& c = copies.emplace_back();
    if (!memory_.read(at, c)) break;
    addresses.push_back(at);
    core_report& now = found.emplace_back();
    now.index = c->index_;
    now.is_loop = c->is_loop_;
    now.cpu = c->cpu_;
    now.thread = c->thread_id_.load(std::memory_order_relaxed);
    now.turns = look_at_driver(*c, found.size() - 1);
    at = reinterpret_cast<std::uintptr_t>(c->next_);
  }
  for (std::size_t i = 0; i < found.size() && r == reach::chains; ++i) {
    const core& c = *copies[i];
    pools_.insert(c.offload_);
    look_at_driver(c, i);  // what it runs may be another chain now
    if (c.connections_ != nullptr) read_connections(c.connections_, found[i]);
    read_tasks(c, addresses[i], found[i]);
    found[i].cut_short = left_ == 0;
  }
  return found;
}

// What core `i` runs, and what is on its way there. Returns where its turn_ring lies.
std::uintptr_t inspection::look_at_driver(const core& c, std::size_t i) {
  running_.resize(std::max(running_.size(), i + 1));
  running_[i] = 0;
  copy_of<io::driver> driver;
  if (!memory_.read(static_cast<const io::driver*>(c.driver_.get()), driver)) return 0;
  running_[i] = reinterpret_cast<std::uintptr_t>(driver->running());
  // When the core takes it, it turns the list around: what was seen comes again then.
  std::unordered_set<const remote_wake*> seen;
  const remote_wake* wake = driver->delivered();
  copy_of<remote_wake> copy;
  while (wake != nullptr && seen.size() < most_connections && seen.insert(wake).second &&
         memory_.read(wake, copy)) {
    if (copy->root != nullptr) arriving_.insert(reinterpret_cast<std::uintptr_t>(copy->root));
    wake = copy->next;
  }
  return reinterpret_cast<std::uintptr_t>(driver->turns());
}

// The frames of those chains, and what they wait for.
void inspection::fetch_frames(std::span<const found_chain> of) {
  std::vector<std::uintptr_t> frames;
  std::vector<std::uintptr_t> operations;
  for (const found_chain& c : of) {
    if (c.frame == 0) continue;
    frames.push_back(c.frame);
    if (c.copy->suspended_ != nullptr)
      operations.push_back(reinterpret_cast<std::uintptr_t>(c.copy->suspended_));
  }
  memory_.fetch(frames, fetched_of_frame);
  memory_.fetch(operations, sizeof(operation));
  std::vector<std::uintptr_t> inner;
  for (unsigned depth = 0; depth < fetched_depth && !frames.empty(); ++depth) {
    inner.clear();
    for (const std::uintptr_t frame : frames)
      if (const std::uintptr_t next = awaited_by(frame); next != 0) inner.push_back(next);
    memory_.fetch(inner, fetched_of_frame);
    frames.swap(inner);
  }
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
      static_cast<std::byte*>(std::aligned_alloc(state_slab::size, slabs_at_once * state_slab::size)),
      std::free);
  if (!memory) throw std::bad_alloc();
  for (std::size_t first = 0; first < count && left_ > 0; first += slabs_at_once)
    read_slabs(std::span(slabs).subspan(first, std::min(slabs_at_once, count - first)), memory.get(), into);
}

// `memory`: for copies of those slabs.
void inspection::read_slabs(std::span<const std::uintptr_t> slabs, std::byte* memory, core_report& into) {
  std::vector<found_chain> found;
  for (const std::uintptr_t there : slabs) {
    const auto& slab = *reinterpret_cast<const state_slab*>(memory);
    if (there % state_slab::size != 0 || !memory_.read(there, memory, state_slab::size)) continue;
    for (std::size_t i = 0; i < state_slab::most && left_ > 0; ++i, --left_) {
      const connection_state* const c = slab.first_from(i);
      if (c == nullptr) break;
      found.push_back({there + static_cast<std::uintptr_t>(reinterpret_cast<const std::byte*>(c) - memory) +
                           offset_in<chain>(*c),
                       c, reinterpret_cast<std::uintptr_t>(c->handler_.address())});
    }
    memory += state_slab::size;
  }
  fetch_frames(found);
  for (const found_chain& each : found)
    if (auto report = connection_at(each)) into.connections.push_back(std::move(*report));
  memory_.forget();
}

std::optional<connection_report> inspection::connection_at(const found_chain& at) {
  const auto& c = static_cast<const connection_state&>(*at.copy);
  connection_report report;
  report.in = c.phase_;
  if (report.in > phase::ended) return std::nullopt;
  report.peer = peer_of(c);
  report.fd = c.fd;
  report.stopping = c.is_stopping();
  report.age_ms = c.age(now_ms_);
  report.chain = read_chain(at, 0);
  if (report.chain.state == chain_report::now::waits) {
    const std::uint32_t since = static_cast<std::uint32_t>(now_ms_) - c.active_at;
    report.waits_for_ms = since < 0x8000'0000U ? since : 0;
  }
  return report;
}

// `at`: where the core lies. What has left a list may be in another one when it is read.
void inspection::read_tasks(const core& of, std::uintptr_t at, core_report& into) {
  std::vector<copy_of<core::spawned>> copies(chains_at_once);
  std::vector<found_chain> found;
  for (const core::spawned* next = of.spawned_; next != nullptr && left_ > 0;) {
    found.clear();
    for (; next != nullptr && left_ > 0 && found.size() < chains_at_once; --left_) {
      copy_of<core::spawned>& t = copies[found.size()];
      if (!memory_.read(next, t) || reinterpret_cast<std::uintptr_t>(&t->home_) != at) {
        next = nullptr;
        break;
      }
      found.push_back({reinterpret_cast<std::uintptr_t>(next) + offset_in<chain>(*t), &*t,
                       reinterpret_cast<std::uintptr_t>(t->frame_.address())});
      next = t->next_;
    }
    fetch_frames(found);
    for (const found_chain& each : found)
      into.tasks.push_back({each.copy->age(now_ms_), read_chain(each, 0)});
    memory_.forget();
  }
}

std::string inspection::peer_of(const connection_state& c) {
  if (!c.peer_.in_block()) return c.peer_.get().to_string();
  copy_of<peer_address> first_in_block;
  return memory_.read(std::uintptr_t{c.peer_.bits_ & ~kept_peer::kind_bits}, first_in_block)
             ? first_in_block->to_string()
             : "unknown";
}

chain_report inspection::read_chain(const found_chain& c, unsigned depth) {
  chain_report report;
  if (c.frame == 0) return report;
  read_frames(c.frame, report);
  if (std::ranges::find(running_, c.at) != running_.end()) {
    report.state = chain_report::now::runs;
    return report;
  }
  const chain& copy = *c.copy;
  if (!copy.has_no_children() && depth < deepest) read_scopes(c.at, depth, report);
  const bool arrives = arriving_.contains(c.at);
  const auto waits = reinterpret_cast<std::uintptr_t>(copy.suspended_);
  if (arrives && waits == 0 && !report.frames.empty()) {
    report.state = chain_report::now::waits;
    report.operation = "switch_to";
    return report;
  }
  report.state = copy.is_queued() || arrives ? chain_report::now::ready : chain_report::now::waits;
  struct head {
    std::uintptr_t kind;
    std::uintptr_t root;
  } op{};
  static_assert(sizeof(operation) == sizeof(head));
  if (waits == 0 || !memory_.read(waits, &op, sizeof op) || op.root != c.at) return report;
  const auto [known, is_new] = operations_.try_emplace(op.kind);
  if (is_new) known->second = operation_name(name_of_address(op.kind));
  report.operation = known->second;  // none: it has just ended
  return report;
}

// 0: none.
std::uintptr_t inspection::awaited_by(std::uintptr_t frame) const noexcept {
  static const std::uintptr_t distance = promise_in_frame();
  copy_of<detail::promise_base> promise;
  if (!memory_.read(frame + distance, promise)) return 0;
  const auto* const awaited = promise->awaited();
  return awaited != nullptr ? memory_.word(reinterpret_cast<std::uintptr_t>(awaited)) : 0;
}

void inspection::read_frames(std::uintptr_t root_frame, chain_report& into) {
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
    frame = awaited_by(frame);
  }
}

// A scope lies in a frame of its parent, and each of its children knows it. So what looks like a scope there
// is one if the child that it points to says so, and its parent is this chain: behind the end of a frame
// others begin.
void inspection::read_scopes(std::uintptr_t parent, unsigned depth, chain_report& into) {
  using detail::children;
  const std::vector<chain_report::frame> frames = into.frames;
  std::set<std::uintptr_t> found;  // frames of a chain may lie side by side
  for (const chain_report::frame& f : frames) {
    const std::vector<std::byte> bytes = memory_.piece(f.at, most_of_frame);
    for (std::size_t at = 0; at + sizeof(children) <= bytes.size(); at += alignof(children)) {
      copy_of<children> scope;
      std::memcpy(scope.memory(), bytes.data() + at, sizeof(children));
      copy_of<detail::child> c;
      if (reinterpret_cast<std::uintptr_t>(scope->parent_) == parent && memory_.read(scope->first_, c) &&
          reinterpret_cast<std::uintptr_t>(c->owner_) == f.at + at && found.insert(f.at + at).second)
        read_children(*scope, f.at + at, depth, into);
    }
  }
}

void inspection::read_children(const detail::children& of, std::uintptr_t at, unsigned depth,
                               chain_report& into) {
  std::vector<copy_of<detail::child>> copies;
  std::vector<found_chain> found;
  for (const detail::child* next = of.first_; next != nullptr && left_ > 0; --left_) {
    copy_of<detail::child> c;
    if (!memory_.read(next, c) || reinterpret_cast<std::uintptr_t>(c->owner_) != at) break;
    if (!c->ended_) {
      copies.push_back(c);
      found.push_back({reinterpret_cast<std::uintptr_t>(next) + offset_in<chain>(*c), nullptr,
                       reinterpret_cast<std::uintptr_t>(c->frame_.address())});
    }
    next = c->next_;
  }
  for (std::size_t i = 0; i < found.size(); ++i) found[i].copy = &*copies[i];
  fetch_frames(found);
  for (const found_chain& each : found) into.children.push_back(read_chain(each, depth + 1));
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
