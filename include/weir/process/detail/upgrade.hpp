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
#include "weir/process/detail/outgoing_messages.hpp"
#include "weir/process/detail/passed_connection.hpp"

namespace weir::process {

// A listening socket, with the address as the configuration calls it.
struct named_descriptor {
  int fd;
  std::string address;
};

// How a program is started again: the path that it was started from, with the file that is there by then, and
// its arguments.
struct invocation {
  std::string file;  // empty if the system does not tell, as without /proc
  std::vector<std::string> arguments;

  // This process's. `arguments` are those of main.
  [[nodiscard]] static invocation of_this_process(int argc, const char* const* argv);
};

// What a master that was started to take over finds: the sockets, and a channel to the master before it.
struct heritage {
  ::pid_t from;
  std::string accept;  // processes.accept of the master before
  descriptor_channel channel;
  std::vector<named_descriptor> sockets;

  // Nothing if this process was started in any other way. The first call takes it; later calls find nothing.
  // Errors: std::system_error if it does not have the form that a running pool writes.
  [[nodiscard]] static std::optional<heritage> take();
};

// The program that was started to take over. It does not end with this process.
// Thread: the only one of its process.
class successor {
 public:
  // Errors: std::system_error. A program that cannot be executed ends with code 127, and the reason is
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

// The masters before and after this one, as long as they live.
// Thread: the only one of its process.
class siblings {
 public:
  siblings() = default;
  explicit siblings(heritage& from) : before_(std::move(from.channel)) {}

  // Starts the master after this one. Errors: as of successor.
  void start(const invocation& what, const std::vector<named_descriptor>& sockets, std::string_view accept);

  [[nodiscard]] bool any() const noexcept { return before_ || after_; }
  [[nodiscard]] bool has_successor() const noexcept { return after_.has_value(); }
  [[nodiscard]] bool has_process(::pid_t pid) const noexcept { return after_ && after_->pid() == pid; }

  // Adds what wakes the master's loop for them; with something to give, also room in a channel.
  void add_to(std::vector<::pollfd>& set, bool something_to_give) const;

  // Reads their messages; `parked` gets each connection that they give. True if one of them has ended.
  [[nodiscard]] bool listen(const std::function<void(passed_connection)>& parked);

  // Tells the master before that this one serves.
  void tell_serving();

  // The channel of a master that can be given connections; null if there is none.
  [[nodiscard]] descriptor_channel* heir() noexcept;

  // In a child: closes what is the master's.
  void disown() noexcept {
    before_.close();
    after_.reset();
  }

 private:
  descriptor_channel before_;
  outgoing_messages to_before_;
  std::optional<successor> after_;
};

}  // namespace weir::process
