#pragma once
// base: the log: one line per event, to standard error by default.

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "weir/base/duration.hpp"

namespace weir::log {

enum class level : std::uint8_t { debug, info, warning, error, off };

// Lines below this level are dropped. Default: info. Thread: any.
void set_level(level lowest);
[[nodiscard]] bool enabled(level l) noexcept;

// Writes one line: time, level, process id, text. Control characters in `text` are escaped, so that bytes of
// a peer cannot forge a line. To systemd's journal a line begins with its priority (sd-daemon(3)). Works
// until the process has ended: also in destructors of global objects. A line never waits for what reads
// standard error: one that finds no room, or a full disk, is dropped and counted, and the next one that is
// written is preceded by a line that says how many. At most 4,096 bytes. Thread: any. Errors: a line that
// cannot be written is counted.
void write(level l, std::string_view text);
[[nodiscard]] std::uint64_t lost_lines() noexcept;

// For a program that embeds weir and has a log of its own: from now on lines go to `f` instead of standard
// error, escaped, with neither time nor process id. An empty `f` undoes that. Thread: any; `f` is called on
// the thread that logs, by several at a time, and must not block it: it may be a loop's. What `f` throws
// counts as a lost line; lines of signal handlers still go to standard error.
void to_sink(std::function<void(level, std::string_view text)> f);

// For a signal handler of a process that ends: writes `line` as it is. It must end with '\n'.
void write_in_signal_handler(std::string_view line) noexcept;

// Redirects standard error, log lines and all other output, to the end of the file `path`, which is created
// if it does not exist. A further call opens the path again, so that a file that was renamed gets no more
// lines; no line is lost in between. A FIFO needs a reader. Errors: std::system_error; standard error is then
// unchanged.
void to_file(const std::string& path);

// Counts a line that could not be made or written.
void count_lost_line() noexcept;

// Of what these are given, what takes memory is made by a formatter, in here: so they throw nothing. Without
// memory a line is lost.
template <class... Args>
void write_formatted(level l, fmt::format_string<Args...> text, Args&&... args) noexcept {
  if (enabled(l)) try {
      write(l, fmt::format(text, std::forward<Args>(args)...));
    } catch (...) {
      count_lost_line();
    }
}
template <class... Args>
void debug(fmt::format_string<Args...> text, Args&&... args) noexcept {
  write_formatted(level::debug, text, std::forward<Args>(args)...);
}
template <class... Args>
void info(fmt::format_string<Args...> text, Args&&... args) noexcept {
  write_formatted(level::info, text, std::forward<Args>(args)...);
}
template <class... Args>
void warning(fmt::format_string<Args...> text, Args&&... args) noexcept {
  write_formatted(level::warning, text, std::forward<Args>(args)...);
}
template <class... Args>
void error(fmt::format_string<Args...> text, Args&&... args) noexcept {
  write_formatted(level::error, text, std::forward<Args>(args)...);
}

// Lets one event per interval through and counts the others, so that log lines that a peer can cause at will
// do not fill a disk. Thread: any.
class limiter {
 public:
  explicit limiter(saturated_duration interval = std::chrono::seconds(1)) noexcept
      : interval_(static_cast<std::int64_t>(interval.milliseconds())) {}

  // Nothing if this event is held back; otherwise the number of events held back since the last one that
  // passed.
  [[nodiscard]] std::optional<std::uint64_t> pass() noexcept;

 private:
  std::int64_t interval_;  // milliseconds
  std::atomic<std::int64_t> next_{0};
  std::atomic<std::uint64_t> held_{0};
};

}  // namespace weir::log
