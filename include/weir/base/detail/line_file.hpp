#pragma once
// base: a file of lines, written off the threads that make the lines.

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "weir/base/log.hpp"
#include "weir/base/unique_fd.hpp"

namespace weir::log {

// Of all files of the process: lines that were written, and those that were lost.
[[nodiscard]] std::uint64_t lines_in_files() noexcept;
[[nodiscard]] std::uint64_t lost_lines_of_files() noexcept;
void count_lost_lines_of_files(std::uint64_t n) noexcept;

// The same as line_file::reopen() and flush(), of all files of the process. A file that cannot be opened is
// logged.
void reopen_line_files(::uid_t user, ::gid_t group) noexcept;
void flush_line_files() noexcept;

// Problem: a system call for each line costs as much as a small request, and a disk that is slow holds up the
// loop that writes to it. So each loop puts its lines into memory of its own, without a lock, and one thread
// of the process writes what has come, whole lines and many with one call. It starts with the first line, so
// a process that is forked later has its own; it sleeps while no line comes. Lines that find no memory, or
// more than `most_bytes` of a loop that wait for the file, are lost, counted, and told in the log once a
// second at most.
// Several processes may append to one file: each call appends whole lines.
// Thread: any, unless said otherwise. Fork: made before or after; no line may have been written before.
class line_file {
 public:
  static constexpr std::size_t longest = 4000;  // bytes of a line with its '\n': below PIPE_BUF
  static constexpr std::size_t most_bytes = std::size_t{4} << 20;

  // Those of one thread at a time. Lifetime: kept by the file until what they hold is written.
  class lines;

  // Opens the file for appending, and creates it if need be. A FIFO needs a reader.
  // Errors: std::system_error that names the file.
  explicit line_file(std::string path);
  line_file(const line_file&) = delete;
  line_file& operator=(const line_file&) = delete;
  // Writes what is left. Lines that cannot be written are counted as lost.
  ~line_file();

  // Errors: std::bad_alloc.
  [[nodiscard]] std::shared_ptr<lines> add();

  // Writes one line for a thread that has no lines of its own. It may wait for other such threads, never for
  // the file. `make`: char*(char* to), the end of the line's text, which has less than `longest` bytes.
  template <class Make>
  void write_shared(Make make) noexcept;

  // Opens the path again: lines go to the file of that name from then on, and none is lost. With a `user`,
  // root gives the file to it. Errors: std::system_error; lines then go to the old file.
  void reopen(::uid_t user, ::gid_t group);

  // Writes what has come until now. It waits for the file.
  void flush() noexcept;

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  // Never that of another file of this process.
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

 private:
  enum class sleep : std::uint32_t { none, for_a_while, until_a_line, not_begun };

  enum class progress : std::uint8_t { none, some, blocked };

  [[nodiscard]] unique_fd opened(::uid_t user, ::gid_t group) const;
  void wake() noexcept;
  void begin_writing() noexcept;
  void work() noexcept;
  progress write_all() noexcept;
  bool write_some(lines& of, bool& any) noexcept;
  void take_added() noexcept;
  [[nodiscard]] std::size_t append(std::string_view text) noexcept;
  void tell_of_losses() noexcept;

  std::string path_;
  std::uint64_t number_;
  unique_fd fd_;
  std::atomic<bool> is_regular_{true};
  std::atomic<sleep> sleep_{sleep::not_begun};
  std::atomic<bool> stops_{false};
  limiter begins_;  // attempts to start the thread
  std::thread writer_;

  std::mutex shared_mutex_;
  std::shared_ptr<lines> shared_;

  // Lines that were added are handed over without a lock, because the writer holds its own while it waits for
  // the file.
  struct added;
  std::atomic<added*> added_{nullptr};

  std::mutex writing_;  // of all below
  std::vector<std::shared_ptr<lines>> all_;
  int error_ = 0;        // of the last call
  bool is_cut_ = false;  // the last line was not taken to its end
  std::uint64_t lost_ = 0;
  std::uint64_t told_ = 0;
  limiter tells_;
};

// Thread: one at a time, but for the writer.
class line_file::lines {
 public:
  explicit lines(line_file& of);
  lines(const lines&) = delete;
  lines& operator=(const lines&) = delete;
  ~lines();

  // Room for a line, `longest` bytes; null if it is lost.
  [[nodiscard]] char* begin() noexcept {
    if (block::size - at_ >= longest) [[likely]]
      return filling_->text + at_;
    return begin_in_next();
  }
  // The line that was begun has `size` bytes, of which the last one is '\n'.
  void commit(std::size_t size) noexcept;

  // Nothing more comes.
  void retire() noexcept { retired_.store(true, std::memory_order_release); }

 private:
  friend line_file;
  struct block {
    static constexpr std::uint32_t size = 65536 - 32;

    std::atomic<block*> next{nullptr};
    std::atomic<std::uint32_t> filled{0};  // bytes of whole lines
    std::uint32_t written = 0;             // the writer's
    char text[size];
  };
  static constexpr std::uint32_t most_blocks = most_bytes / 65536;
  static constexpr std::uint32_t kept_blocks = 4;

  [[nodiscard]] char* begin_in_next() noexcept;
  [[nodiscard]] block* take_block() noexcept;
  void give_back(block* b) noexcept;

  line_file& of_;
  // The thread's.
  block* filling_;
  std::uint32_t at_ = 0;
  block* free_ = nullptr;
  // Of both.
  std::atomic<block*> emptied_{nullptr};
  std::atomic<std::uint32_t> blocks_{1};
  std::atomic<std::uint64_t> made_{0};
  std::atomic<std::uint64_t> lost_{0};
  std::atomic<bool> retired_{false};
  // The writer's.
  block* reading_;
  std::uint64_t counted_ = 0;
  std::uint64_t lost_seen_ = 0;
};

template <class Make>
void line_file::write_shared(Make make) noexcept {
  try {
    const std::lock_guard lock(shared_mutex_);
    if (!shared_) shared_ = add();
    if (char* const to = shared_->begin(); to != nullptr)
      shared_->commit(static_cast<std::size_t>(make(to) - to));
  } catch (...) {
    count_lost_lines_of_files(1);
  }
}

}  // namespace weir::log
