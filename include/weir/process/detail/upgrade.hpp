#pragma once
// process: another program takes over the sockets of a running pool.

#include <poll.h>
#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/process/detail/child_process.hpp"
#include "weir/process/detail/descriptor_channel.hpp"

namespace weir::process {

// A listening socket, with the address as the configuration calls it.
struct named_descriptor {
  int fd;
  std::string address;
};

// How a program is started again: the file that it was started from, as it is by then, and its arguments.
struct invocation {
  std::string file;
  std::vector<std::string> arguments;

  // This process's. `arguments` are those of main.
  [[nodiscard]] static invocation of_this_process(int argc, const char* const* argv);
};

// What a master that was started to take over finds: the sockets, and a channel to the one before it.
struct heritage {
  ::pid_t from;
  std::string accept;  // processes.accept of the one before
  descriptor_channel channel;
  std::vector<named_descriptor> sockets;

  // Nothing if this process was started in any other way. Whoever takes it owns it: it is there once.
  // Errors: std::system_error if it is not as it should be.
  [[nodiscard]] static std::optional<heritage> take();
};

// The program that was started to take over. It outlives this process: each of the two can end alone.
// Thread: the only one of its process.
class successor {
 public:
  // Errors: std::system_error. That the program cannot be executed is its end, with code 127, which has been
  // logged.
  successor(const invocation& what, const std::vector<named_descriptor>& sockets, std::string_view accept);

  [[nodiscard]] const unique_fd& process() const noexcept { return process_; }  // readable when it has ended
  [[nodiscard]] descriptor_channel& channel() noexcept { return channel_; }
  [[nodiscard]] const descriptor_channel& channel() const noexcept { return channel_; }
  [[nodiscard]] ::pid_t pid() const noexcept { return pid_; }

  // Nothing while it runs.
  [[nodiscard]] std::optional<exit_reason> reap() noexcept;

 private:
  unique_fd process_;
  descriptor_channel channel_;
  ::pid_t pid_ = 0;
};

// The masters before and after this one, as long as they are there.
// Thread: the only one of its process.
class siblings {
 public:
  siblings() = default;
  explicit siblings(heritage& from) : before_(std::move(from.channel)) {}

  // Starts the one after this. Errors: as of successor.
  void start(const invocation& what, const std::vector<named_descriptor>& sockets, std::string_view accept);

  [[nodiscard]] bool any() const noexcept { return before_ || after_; }
  [[nodiscard]] bool has_successor() const noexcept { return after_.has_value(); }

  // What wakes the master's loop for them; with something to give, also that there is room.
  void add_to(std::vector<::pollfd>& set, bool something_to_give) const;

  // Reads what they say; `parked` gets each connection that they give. True if one of them has ended.
  [[nodiscard]] bool listen(const std::function<void(unique_fd)>& parked);

  // To the one before: this one serves.
  void tell_serving() noexcept;

  // Who can be given connections; null if nobody is there.
  [[nodiscard]] descriptor_channel* heir() noexcept;

  // In a child: they are no siblings of it.
  void disown() noexcept {
    before_.close();
    after_.reset();
  }

 private:
  descriptor_channel before_;
  std::optional<successor> after_;
};

}  // namespace weir::process
