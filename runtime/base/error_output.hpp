#pragma once
// base: standard error, written without waiting for what reads it.

#include <sys/types.h>

#include <string_view>

namespace weir::log {

// Problem: a write to a pipe or a terminal that is not read blocks the thread, and with it every connection
// of its loop. O_NONBLOCK belongs to the open file description, which standard error shares with the program
// that has started this one, so it is not set there: a pipe or a terminal is opened a second time, by its
// link in /proc, and a socket is asked in each call. Where that is refused (the pipe of another user), the
// descriptor is asked first whether it has room, which is certain as long as no other process writes to it. A
// regular file is written as it is. Thread: one at a time. Signal handlers may call it too: it makes system
// calls only.
class error_output {
 public:
  // One line of at most PIPE_BUF bytes: the kernel takes that much whole or not at all, so that lines of
  // several processes do not mix. 0, or the errno; EAGAIN if there is no room.
  [[nodiscard]] int write(std::string_view line) noexcept;

  // Whether standard error is now the stream that JOURNAL_STREAM names: systemd's journal, which takes the
  // priority of a line from its beginning.
  [[nodiscard]] bool is_journal() noexcept;

  // Opens what write() needs, as it does itself.
  void look() noexcept;

 private:
  enum class kind : unsigned char { unknown, file, socket, stream };

  [[nodiscard]] bool open_again() noexcept;
  [[nodiscard]] ssize_t attempt(std::string_view line) noexcept;

  kind kind_ = kind::unknown;
  ::dev_t device_ = 0;  // of what was last seen there
  ::ino_t number_ = 0;
  int own_ = -1;          // its own description of the stream; keeps its number
  bool is_open_ = false;  // own_ is that of the present stream
  bool is_journal_ = false;
  bool broken_ = false;  // the last line was not taken to its end
};

}  // namespace weir::log
