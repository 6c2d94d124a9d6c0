#include "weir/base/log.hpp"

#include <fcntl.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "error_output.hpp"
#include "weir/base/detail/standard_descriptors.hpp"
#include "weir/base/error.hpp"
#include "weir/base/unique_fd.hpp"

namespace weir::log {
namespace {

std::atomic<level> lowest_level{level::info};
std::atomic<std::uint64_t> lost{0};

constinit error_output output;

using sink_function = std::function<void(level, std::string_view)>;
std::atomic<const sink_function*> other_sink{nullptr};

// As of sd-daemon(3).
std::string_view priority_of(spdlog::level::level_enum l) noexcept {
  switch (l) {
    case spdlog::level::err: return "<3>";
    case spdlog::level::warn: return "<4>";
    case spdlog::level::info: return "<6>";
    default: return "<7>";
  }
}

// A line that cannot be written is dropped and counted, and the next one that can be is preceded by the
// count: in one call, because there may be room for the count alone.
class dropping_sink final : public spdlog::sinks::base_sink<std::mutex> {
 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t lines;
    const bool journal = output.is_journal();
    if (untold_ != 0) {
      const std::string text =
          fmt::format("{} lines were dropped because {}", untold_,
                      why_ == EAGAIN ? "nobody reads standard error" : std::generic_category().message(why_));
      if (journal) lines.append(priority_of(spdlog::level::warn));
      formatter_->format({message.logger_name, spdlog::level::warn, text}, lines);
    }
    if (journal) lines.append(priority_of(message.level));
    formatter_->format(message, lines);
    if (lines.size() > PIPE_BUF) {
      lines.resize(PIPE_BUF);
      lines[PIPE_BUF - 1] = '\n';
    }
    if (const int error = output.write({lines.data(), lines.size()}); error != 0) {
      why_ = error;
      ++untold_;
      lost.fetch_add(1, std::memory_order_relaxed);
    } else {
      untold_ = 0;
    }
  }
  void flush_() override {}

  std::uint64_t untold_ = 0;
  int why_ = 0;  // the errno of the last line that was dropped
};

// Never destroyed: destructors of global objects may log, and exit() leaves other threads running, which log
// as well.
spdlog::logger& sink() {
  static spdlog::logger* const instance = [] {
    auto* const made = new spdlog::logger("weir", std::make_shared<dropping_sink>());
    made->set_pattern("%Y-%m-%d %H:%M:%S.%e %l [%P] %v");
    made->set_level(spdlog::level::trace);
    made->set_error_handler([](const std::string&) { lost.fetch_add(1, std::memory_order_relaxed); });
    return made;
  }();
  return *instance;
}

spdlog::level::level_enum to_spdlog(level l) {
  switch (l) {
    case level::debug: return spdlog::level::debug;
    case level::info: return spdlog::level::info;
    case level::warning: return spdlog::level::warn;
    case level::error: return spdlog::level::err;
    case level::off: break;
  }
  return spdlog::level::off;
}

std::string escaped(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out;
}

}  // namespace

void set_level(level lowest) { lowest_level.store(lowest, std::memory_order_relaxed); }

bool enabled(level l) noexcept { return l >= lowest_level.load(std::memory_order_relaxed); }

void write(level l, std::string_view text) {
  if (const auto* const other = other_sink.load(std::memory_order_acquire)) return (*other)(l, escaped(text));
  sink().log(to_spdlog(l), "{}", escaped(text));
}

void to_sink(std::function<void(level, std::string_view)> f) {
  // None is ever freed: a thread may be in it, and threads log until the process has ended.
  static std::mutex mutex;
  static auto* const all = new std::deque<sink_function>;
  const std::lock_guard lock(mutex);
  other_sink.store(f ? &all->emplace_back(std::move(f)) : nullptr, std::memory_order_release);
}

void write_in_signal_handler(std::string_view line) noexcept { static_cast<void>(output.write(line)); }

void to_file(const std::string& path) {
  // A FIFO is not waited for: without a reader it cannot be opened.
  constexpr int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const unique_fd file(::open(path.c_str(), flags, 0640));
  if (!file || ::dup2(file.get(), STDERR_FILENO) < 0) throw_system_error(errno, "log to " + path);
}

void count_lost_line() noexcept { lost.fetch_add(1, std::memory_order_relaxed); }

std::uint64_t lost_lines() noexcept { return lost.load(std::memory_order_relaxed); }

std::optional<std::uint64_t> limiter::pass() noexcept {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::steady_clock::now().time_since_epoch())
                       .count();
  auto next = next_.load(std::memory_order_relaxed);
  if (now < next || !next_.compare_exchange_strong(next, now + interval_, std::memory_order_relaxed)) {
    held_.fetch_add(1, std::memory_order_relaxed);
    return std::nullopt;
  }
  return held_.exchange(0, std::memory_order_relaxed);
}

}  // namespace weir::log

void weir::prepare_log_output() noexcept { log::output.look(); }
