#include "weir/admin/detail/survey.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <mutex>
#include <utility>
#include <vector>

#include "weir/admin/detail/places.hpp"
#include "weir/admin/detail/socket_bytes.hpp"
#include "weir/admin/detail/status.hpp"
#include "weir/connection/detail/connection_table.hpp"
#include "weir/core/core.hpp"
#include "weir/dump/detail/remote_memory.hpp"

namespace weir::admin {
namespace {

using process::connection_list;
using process::listed_connection;

constexpr std::int64_t wish_lasts_ms = 5000;
constexpr std::size_t slabs_per_step = 64;
constexpr std::size_t cores_per_step = 256;
constexpr std::size_t most_cores = 65'536;
constexpr std::size_t most_candidates = 128;
constexpr std::uint32_t busy_within_ms = 1000;  // it has moved a byte

bool waits_longer(const listed_connection& a, const listed_connection& b) noexcept {
  return a.quiet_ms > b.quiet_ms;
}
bool moves_more(const listed_connection& a, const listed_connection& b) noexcept {
  return a.bytes_per_second > b.bytes_per_second;
}

}  // namespace

// How far a look at all connections has come.
struct survey::course {
  struct candidate {
    std::uintptr_t state = 0;
    listed_connection seen;
    std::uint64_t bytes = 0;
  };

  dump::remote_memory memory{::getpid()};
  std::vector<const core*> cores;
  std::size_t core_at = 0;
  // Of the present core.
  std::uintptr_t table = 0;
  std::uint16_t core_index = 0;
  std::uintptr_t running = 0;  // the chain that it runs
  std::size_t slab_at = 0;
  std::size_t slab_count = 0;
  std::uintptr_t slabs = 0;

  connection_list next;               // of this look
  connection_list told;               // of the last whole one; `busiest`: of this step
  std::vector<candidate> candidates;  // the first told.busiest_count are those
  std::size_t active = 0;             // those of this step that might be candidates
  std::chrono::steady_clock::time_point measured{};
  std::uint64_t clock = 0;  // milliseconds; the low bits are those of descriptor::active_at
  std::uint32_t dice = 2463534242;
  alignas(64) std::array<std::byte, state_slab::size> slab;

  std::uint32_t draw() noexcept {  // xorshift
    dice ^= dice << 13U;
    dice ^= dice >> 17U;
    return dice ^= dice << 5U;
  }
};

survey::survey(process::scoreboard& board, process::worker_score& row) noexcept : board_(board), row_(row) {}
survey::~survey() = default;

void survey::wish(process::pool_score& pool) noexcept {
  pool.lists_wanted_until.store(now_in_ms() + wish_lasts_ms, std::memory_order_relaxed);
}

void survey::step() noexcept {
  if (board_.pool().lists_wanted_until.load(std::memory_order_relaxed) < now_in_ms()) {
    course_.reset();
    return;
  }
  try {
    if (!course_) course_ = std::make_unique<course>();
    go_on();
  } catch (const std::bad_alloc&) {
    course_.reset();
  }
}

void survey::go_on() {
  course& c = *course_;
  const std::int64_t now = now_in_ms();
  judge_candidates();
  ::timespec coarse{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &coarse);
  c.clock = static_cast<std::uint64_t>(coarse.tv_sec * 1000 + coarse.tv_nsec / 1'000'000);
  c.active = 0;
  std::size_t slabs = 0;
  std::size_t tables = 0;
  if (c.core_at == 0 && c.slab_at == 0) begin_pass(now);
  while (slabs < slabs_per_step && tables < cores_per_step) {
    if (c.slab_at < c.slab_count) {
      look_into_slab();
      ++slabs;
    } else if (c.core_at < c.cores.size()) {
      enter_core(*c.cores[c.core_at++]);
      ++tables;
    } else {
      end_pass();
      break;
    }
  }
  measure_candidates();
  c.told.pid = ::getpid();
  c.told.at = now;
  board_.connections_of(row_).store(c.told);
}

void survey::begin_pass(std::int64_t now) {
  course& c = *course_;
  c.next = {};
  c.next.began = now;
  c.cores.clear();
  const std::lock_guard lock(core::listing_);
  for (const core* each = core::first_; each != nullptr && c.cores.size() < most_cores; each = each->next_)
    c.cores.push_back(each);
}

void survey::end_pass() noexcept {
  course& c = *course_;
  const connection_list before = std::exchange(c.told, c.next);
  c.told.busiest = before.busiest;
  c.told.busiest_count = before.busiest_count;
  c.core_at = c.slab_at = c.slab_count = 0;
}

// The core may end meanwhile: nothing of it is touched but by the kernel.
void survey::enter_core(const core& at) noexcept {
  course& c = *course_;
  c.slab_at = c.slab_count = 0;
  dump::copy_of<core> copy;
  if (!c.memory.read(&at, copy)) return;
  c.table = reinterpret_cast<std::uintptr_t>(copy->connections_);
  // A core that is alone is the thread of one connection.
  c.core_index = copy->pool_ == nullptr ? place::threads : static_cast<std::uint16_t>(copy->index_);
  dump::copy_of<io::driver> driver;
  c.running = c.memory.read(static_cast<const io::driver*>(copy->driver_.get()), driver)
                  ? reinterpret_cast<std::uintptr_t>(driver->running())
                  : 0;
  dump::copy_of<connection_table> table;
  if (!c.memory.read(copy->connections_, table)) return;
  c.slab_count = table->slabs_.size();
  c.slabs = reinterpret_cast<std::uintptr_t>(table->slabs_.data());
}

void survey::look_into_slab() {
  course& c = *course_;
  const std::uintptr_t there = c.memory.word(c.slabs + c.slab_at++ * sizeof(std::uintptr_t));
  if (there == 0) {  // the list of slabs has moved: the rest of this core has its turn next time
    c.slab_count = 0;
    return;
  }
  if (there % state_slab::size != 0 || !c.memory.read(there, c.slab.data(), c.slab.size())) return;
  const auto& slab = *reinterpret_cast<const state_slab*>(c.slab.data());
  if (reinterpret_cast<std::uintptr_t>(&slab.table()) != c.table) return;
  for (std::size_t i = 0; i < state_slab::most; ++i) {
    // A copy finds its states by its own address.
    const connection_state* const state = slab.first_from(i);
    if (state == nullptr || i >= state_slab::most) return;
    look_at(*state,
            there + static_cast<std::uintptr_t>(reinterpret_cast<const std::byte*>(state) - c.slab.data()));
  }
}

void survey::look_at(const connection_state& copy, std::uintptr_t there) {
  course& c = *course_;
  if (copy.now_in() != phase::serving || copy.fd < 0) return;
  ++c.next.seen;
  listed_connection found;
  found.fd = copy.fd;
  found.core = c.core_index;
  const std::uint32_t quiet = static_cast<std::uint32_t>(c.clock) - copy.active_at;
  found.quiet_ms = quiet < 0x8000'0000U ? quiet : 0;
  found.age_ms = static_cast<std::int64_t>(copy.age(c.clock).value_or(0));
  const auto in_state = reinterpret_cast<std::uintptr_t>(static_cast<const chain*>(&copy)) -
                        reinterpret_cast<std::uintptr_t>(&copy);
  found.runs = c.running == there + in_state;
  if (c.next.longest_count < connection_list::most || waits_longer(found, c.next.longest.back())) {
    found.peer = peer_of(copy);
    connection_list::insert(c.next.longest, c.next.longest_count, found, waits_longer);
  }
  if (found.quiet_ms > busy_within_ms) return;
  const std::size_t place = place_for_candidate(there);
  if (place == c.candidates.size()) return;
  found.peer = peer_of(copy);
  c.candidates[place] = {there, found, 0};
}

// Where the next one that has moved bytes lately goes, so that each of them has the same chance; the end if
// it is none.
std::size_t survey::place_for_candidate(std::uintptr_t state) {
  course& c = *course_;
  const auto busiest = c.candidates.begin() + c.told.busiest_count;
  if (std::any_of(c.candidates.begin(), busiest, [&](const auto& each) { return each.state == state; }))
    return c.candidates.size();
  if (++c.active <= most_candidates) {
    c.candidates.emplace_back();
    return c.candidates.size() - 1;
  }
  const std::size_t drawn = c.draw() % c.active;
  return drawn < most_candidates ? c.told.busiest_count + drawn : c.candidates.size();
}

peer_address survey::peer_of(const connection_state& copy) const noexcept {
  if (!copy.peer_.in_block()) return copy.peer_.get();
  dump::copy_of<peer_address> first_in_block;
  const std::uintptr_t block = copy.peer_.bits_ & ~kept_peer::kind_bits;
  return course_->memory.read(block, first_in_block) ? *first_in_block : peer_address();
}

// The busiest stay candidates, as the first ones, until others move more.
void survey::judge_candidates() {
  course& c = *course_;
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - c.measured).count();
  const auto faster = [](const auto& a, const auto& b) { return moves_more(a.seen, b.seen); };
  for (auto& each : c.candidates) {
    const std::uint64_t bytes = bytes_moved_on(each.seen.fd).value_or(0);
    each.seen.bytes_per_second =
        bytes > each.bytes ? static_cast<std::uint64_t>(static_cast<double>(bytes - each.bytes) / seconds)
                           : 0;
  }
  std::erase_if(c.candidates, [](const auto& each) { return each.seen.bytes_per_second == 0; });
  std::sort(c.candidates.begin(), c.candidates.end(), faster);
  if (c.candidates.size() > connection_list::most) c.candidates.resize(connection_list::most);
  c.told.busiest_count = static_cast<std::uint32_t>(c.candidates.size());
  std::transform(c.candidates.begin(), c.candidates.end(), c.told.busiest.begin(),
                 [](const auto& each) { return each.seen; });
}

void survey::measure_candidates() {
  course& c = *course_;
  c.measured = std::chrono::steady_clock::now();
  for (auto& each : c.candidates) each.bytes = bytes_moved_on(each.seen.fd).value_or(UINT64_MAX);
}

}  // namespace weir::admin
