#pragma once
// admin: answers operators, on an address of its own.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "weir/admin/detail/question.hpp"
#include "weir/core/core.hpp"
#include "weir/listen/detail/bound_socket.hpp"
#include "weir/model/model.hpp"
#include "weir/process/detail/scoreboard.hpp"

namespace weir::admin {

// Why settings.admin cannot be. An address that other hosts reach needs a token.
[[nodiscard]] std::optional<refusal> check(const settings& s);

// A text that takes milliseconds to make: `make` runs on a thread of the offload pool, and may throw.
struct report {
  std::string_view path;
  std::string_view type;
  std::function<std::string()> make;
};

// What is told: `bring_up_to_date` writes the figures of this process that are not counted where they happen.
struct source {
  process::scoreboard& board;
  std::function<void()> bring_up_to_date = {};
  std::vector<std::string> listen = {};  // addresses that clients connect to
  std::vector<report> reports = {};
};

// The page, /metrics, /status, /status.txt, /connections, reports, /ready and /live. Problem: what tells of a
// server must not count as its traffic, wait for its permits, end with its listeners, or need what a program
// does not link. So this waits through Asio on the core's io_context, which every model has: also one whose
// threads block in system calls lets Asio have a turn after each of theirs. At most 16 clients at once, 5 s
// for each. Thread: the core's. Lifetime: outlives the core, within that of the socket.
class listener {
 public:
  listener(core& home, const bound_socket& on, std::string token, source from)
      : home_(home), on_(on), token_(std::move(token)), from_(std::move(from)) {}
  listener(const listener&) = delete;
  listener& operator=(const listener&) = delete;

  // The socket of settings.admin, which its owner alone may use if it is a unix socket; nothing if there is
  // none. Errors: as of bound_socket.
  [[nodiscard]] static std::optional<bound_socket> bind(const settings& s);

  // Until the core ends.
  void start();

 private:
  task<> accept_all();
  task<> accept_until_error();
  task<> serve(unique_fd client);
  task<> converse(asio::posix::stream_descriptor* client);
  [[nodiscard]] answer answer_to(const question& q);
  [[nodiscard]] const report* report_at(std::string_view path) const noexcept;
  task<answer> answer_with(const report* wanted);

  core& home_;
  const bound_socket& on_;
  std::string token_;
  source from_;
  unsigned clients_ = 0;
};

}  // namespace weir::admin
