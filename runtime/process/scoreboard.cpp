#include "weir/process/detail/scoreboard.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <string>

#include "weir/base/error.hpp"

namespace weir::process {
namespace {

constexpr const char* name = "weir scoreboard";

}  // namespace

scoreboard::scoreboard() : fd_(::memfd_create(name, MFD_CLOEXEC)) {
  if (!fd_ || ::ftruncate(fd_.get(), sizeof(layout)) != 0)
    throw_system_error(errno, "memory of the scoreboard");
  map(PROT_READ | PROT_WRITE);  // zeroed pages are atomics of value 0
  memory_->form = this_form;
  memory_->pool.least_awaited = UINT32_MAX;  // no worker waits
  observe::use_series(memory_->series);
}

scoreboard::scoreboard(::pid_t master) {
  const std::string folder = fmt::format("/proc/{}/fd", master);
  const std::unique_ptr<::DIR, int (*)(::DIR*)> all(::opendir(folder.c_str()), ::closedir);
  if (all == nullptr) throw_system_error(errno, fmt::format("process {}", master));
  const std::string wanted = fmt::format("/memfd:{} (deleted)", name);
  while (const ::dirent* const each = ::readdir(all.get())) {
    const std::string path = fmt::format("{}/{}", folder, each->d_name);
    std::array<char, 64> target{};
    if (::readlink(path.c_str(), target.data(), target.size() - 1) < 0 || wanted != target.data()) continue;
    fd_ = unique_fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd_) throw_system_error(errno, fmt::format("scoreboard of process {}", master));
    break;
  }
  if (!fd_)
    throw_system_error(
        ESRCH, fmt::format("process {} is not the master of a pool, nor another server of weir", master));
  struct stat file{};
  if (::fstat(fd_.get(), &file) != 0 || file.st_size != sizeof(layout))
    throw_system_error(EPROTO, fmt::format("process {} runs another version", master));
  map(PROT_READ);
  if (memory_->form == this_form) return;
  ::munmap(memory_, sizeof(layout));
  throw_system_error(EPROTO, fmt::format("process {} runs another version", master));
}

void scoreboard::map(int access) {
  void* const at = ::mmap(nullptr, sizeof(layout), access, MAP_SHARED, fd_.get(), 0);
  if (at == MAP_FAILED) throw_system_error(errno, "mmap of the scoreboard");
  memory_ = static_cast<layout*>(at);
}

scoreboard::~scoreboard() {
  observe::give_back_series(memory_->series);
  ::munmap(memory_, sizeof(layout));
}

worker_score* scoreboard::take(model_kind model) noexcept {
  for (auto& row : workers()) {
    if (row.now.load() != worker_score::state::free) continue;
    row.connections = row.load = row.held_up = row.passed_over = row.coming = 0;
    row.accepted = row.requests = row.refused = row.fruitless = row.beats = 0;
    row.model = model;
    row.io = io_kind::automatic;  // not chosen yet
    row.now = worker_score::state::starting;
    const auto used = static_cast<std::uint32_t>(&row - workers().data()) + 1;
    if (used > pool().rows) pool().rows = used;
    return &row;
  }
  return nullptr;
}

std::uint32_t scoreboard::least_beside(const worker_score& self,
                                       std::atomic<std::uint32_t> worker_score::* count) noexcept {
  std::uint32_t least = UINT32_MAX;
  for (const auto& row : workers().first(pool().rows))
    if (&row != &self && row.now.load() == worker_score::state::serving && row.held_up.load() == 0 &&
        row.passed_over.load() == 0)
      least = std::min(least, load_of(row, count));
  return least;
}

bool scoreboard::any_passed_over(const worker_score& self) noexcept {
  const auto rows = workers().first(pool().rows);
  return std::any_of(rows.begin(), rows.end(), [&](const worker_score& row) {
    return &row != &self && row.now.load() != worker_score::state::free && row.passed_over.load() != 0;
  });
}

void scoreboard::describe(const settings& s) noexcept {
  pool().master = ::getpid();
  pool().model = s.model;
  pool().io = s.io;
  pool().accept = s.processes.accept;
  pool().policy = s.distribute.policy;
  pool().started = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::steady_clock::now().time_since_epoch())
                       .count();
}

void scoreboard::count_restart(restart_reason why) noexcept {
  pool().restarts.fetch_add(1);
  pool().restarts_for[static_cast<std::size_t>(why)].fetch_add(1);
}

bool scoreboard::is_ready() noexcept {
  const auto rows = workers().first(pool().rows);
  return std::any_of(rows.begin(), rows.end(),
                     [](const worker_score& row) { return row.now.load() == worker_score::state::serving; });
}

void scoreboard::give_back(worker_score& row) noexcept {
  ledger().retire(number_of(row));
  row.pid = 0;
  row.now = worker_score::state::free;
}

}  // namespace weir::process
