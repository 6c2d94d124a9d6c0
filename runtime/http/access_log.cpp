#include "weir/http/access_log.hpp"

#include <atomic>
#include <ctime>
#include <utility>
#include <vector>

#include "access_line.hpp"
#include "weir/base/detail/line_file.hpp"
#include "weir/core/core.hpp"

namespace weir::http {
namespace {

using log::line_file;
static_assert(longest_access_line <= line_file::longest);

// Grows when a core ends: what threads remember of cores is then no longer true.
std::atomic<std::uint64_t> cores_ended{0};

// The lines of one core, of each file that it has written to.
class lines_of_core {
 public:
  explicit lines_of_core(core&) noexcept {}
  lines_of_core(const lines_of_core&) = delete;
  lines_of_core& operator=(const lines_of_core&) = delete;
  ~lines_of_core() {
    for (const auto& each : all_) each.second->retire();
    cores_ended.fetch_add(1, std::memory_order_relaxed);
  }

  [[nodiscard]] line_file::lines& of(line_file& file) {
    for (const auto& [number, lines] : all_)
      if (number == file.number()) return *lines;
    return *all_.emplace_back(file.number(), file.add()).second;
  }

 private:
  std::vector<std::pair<std::uint64_t, std::shared_ptr<line_file::lines>>> all_;
};

struct remembered {
  std::uint64_t file = 0;
  const core* on = nullptr;
  std::uint64_t ended = 0;
  line_file::lines* lines = nullptr;
};

// Null: this thread is no loop's.
// Hazard: a coroutine must not keep the address of a thread's variable; see text_of().
[[gnu::noinline]] line_file::lines* lines_here(line_file& file) {
  static constinit thread_local remembered last{};
  core* const here = core::current();
  if (here == nullptr || !here->is_loop()) return nullptr;
  const std::uint64_t ended = cores_ended.load(std::memory_order_relaxed);
  if (last.file != file.number() || last.on != here || last.ended != ended) [[unlikely]]
    last = {file.number(), here, ended, &here->local<lines_of_core>().of(file)};
  return last.lines;
}

// One in `n` of the calls of a thread.
[[gnu::noinline]] bool is_chosen(std::uint32_t n) noexcept {
  static constinit thread_local std::uint32_t passed = 0;
  if (++passed < n) return false;
  passed = 0;
  return true;
}

}  // namespace

access_log::access_log(const options& o)
    : format_(o.format), sample_(o.sample), file_(std::make_unique<line_file>(o.file)) {}

access_log::~access_log() = default;

void access_log::write(const access_entry& e) noexcept {
  if (sample_ > 1 && e.status < 400 && e.status != 0 && !is_chosen(sample_)) return;
  ::timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  try {
    if (line_file::lines* const own = lines_here(*file_)) [[likely]] {
      char* const to = own->begin();
      if (to != nullptr) own->commit(static_cast<std::size_t>(put_access_line(to, format_, e, now) - to));
      return;
    }
    file_->write_shared([&](char* to) { return put_access_line(to, format_, e, now); });
  } catch (...) {  // no memory for the lines of a core
    log::count_lost_lines_of_files(1);
  }
}

}  // namespace weir::http
