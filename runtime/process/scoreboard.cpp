#include "weir/process/scoreboard.hpp"

#include <sys/mman.h>

#include <cerrno>

#include "weir/base/error.hpp"

namespace weir::process {

scoreboard::scoreboard() {
  void* const at = ::mmap(nullptr, sizeof(layout), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw_system_error(errno, "mmap of the scoreboard");
  memory_ = static_cast<layout*>(at);  // zeroed pages are atomics of value 0
}

scoreboard::~scoreboard() { ::munmap(memory_, sizeof(layout)); }

worker_score* scoreboard::take() noexcept {
  for (auto& row : workers()) {
    if (row.now.load() != worker_score::state::free) continue;
    row.connections = 0;
    row.accepted = row.refused = row.fruitless = row.beats = 0;
    row.now = worker_score::state::starting;
    return &row;
  }
  return nullptr;
}

void scoreboard::give_back(worker_score& row) noexcept {
  row.pid = 0;
  row.now = worker_score::state::free;
}

}  // namespace weir::process
