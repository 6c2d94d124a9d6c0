#include "weir/process/detail/upgrade.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "pause.hpp"
#include "wait.hpp"
#include "weir/base/error.hpp"
#include "weir/base/log.hpp"

namespace weir::process {
namespace {

// A line "CHANNEL PID ACCEPT", then one "DESCRIPTOR ADDRESS" for each socket.
constexpr const char* variable = "_WEIR_UPGRADE";

[[noreturn]] void malformed() {
  throw_system_error(EPROTO, fmt::format("{} is not what a running pool writes", variable));
}

// The text before `mark`; both are removed from `from`.
std::string_view cut(std::string_view& from, char mark) {
  const std::size_t end = from.find(mark);
  if (end == std::string_view::npos) malformed();
  const auto out = from.substr(0, end);
  from.remove_prefix(end + 1);
  return out;
}

int number(std::string_view text) {
  int value = 0;
  const char* const end = text.data() + text.size();
  if (std::from_chars(text.data(), end, value).ptr != end || value < 0) malformed();
  return value;
}

void keep_on_exec(int fd) {
  if (::fcntl(fd, F_SETFD, 0) != 0) throw_system_error(errno, fmt::format("descriptor {} of an upgrade", fd));
}

// In the child.
[[noreturn]] void become(const invocation& what, const std::vector<named_descriptor>& sockets,
                         std::string_view accept, ::pid_t from, const descriptor_channel& channel) noexcept {
  try {
    std::string told = fmt::format("{} {} {}\n", channel.get(), from, accept);
    keep_on_exec(channel.get());
    for (const auto& each : sockets) {
      keep_on_exec(each.fd);
      told += fmt::format("{} {}\n", each.fd, each.address);
    }
    ::setenv(variable, told.c_str(), 1);
    // The service manager watches the master, which is this process by now.
    if (std::getenv("WATCHDOG_PID") != nullptr)
      ::setenv("WATCHDOG_PID", fmt::format("{}", ::getpid()).c_str(), 1);
    std::vector<char*> argv;
    for (const auto& each : what.arguments) argv.push_back(const_cast<char*>(each.c_str()));
    argv.push_back(nullptr);
    ::sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execv(what.file.c_str(), argv.data());
    log::error("execute {}: {}", what.file, std::generic_category().message(errno));
  } catch (const std::exception& e) {
    log::error("{}", e.what());
  }
  std::fflush(nullptr);
  ::_exit(127);
}

}  // namespace

invocation invocation::of_this_process(int argc, const char* const* argv) {
  std::array<char, PATH_MAX> path{};
  if (::readlink("/proc/self/exe", path.data(), path.size() - 1) < 0) path[0] = '\0';
  return {path.data(), {argv, argv + argc}};
}

std::optional<heritage> heritage::take() {
  const char* const text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  const std::string whole = text;
  ::unsetenv(variable);
  std::string_view rest = whole;
  heritage out{};
  out.channel = descriptor_channel(unique_fd(number(cut(rest, ' '))));
  out.from = number(cut(rest, ' '));
  out.accept = cut(rest, '\n');
  ::fcntl(out.channel.get(), F_SETFD, FD_CLOEXEC);
  while (!rest.empty()) {
    const int fd = number(cut(rest, ' '));
    out.sockets.push_back({fd, std::string(cut(rest, '\n'))});
  }
  return out;
}

successor::successor(const invocation& what, const std::vector<named_descriptor>& sockets,
                     std::string_view accept) {
  auto ends = descriptor_channel::make();
  std::fflush(nullptr);
  const ::pid_t from = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw_system_error(errno, "fork");
  if (pid_ == 0) become(what, sockets, accept, from, ends.second);
  process_ = open_process(pid_);
  channel_ = std::move(ends.first);
}

std::optional<exit_reason> successor::reap() noexcept { return reap_process(process_); }

void siblings::start(const invocation& what, const std::vector<named_descriptor>& sockets,
                     std::string_view accept) {
  if (what.file.empty())
    throw_system_error(ENOENT, "/proc/self/exe did not tell the file of this program when it was started");
  after_.emplace(what, sockets, accept);
  log::info("upgrade: process {} was started from {}", after_->pid(), what.file);
}

void siblings::add_to(std::vector<::pollfd>& set, bool something_to_give) const {
  const short events = something_to_give ? POLLIN | POLLOUT : POLLIN;
  if (before_)
    set.push_back({before_.get(), static_cast<short>(to_before_.empty() ? events : events | POLLOUT), 0});
  if (!after_) return;
  set.push_back({after_->process().get(), POLLIN, 0});
  if (after_->channel()) set.push_back({after_->channel().get(), events, 0});
}

void siblings::tell_serving() {
  if (before_) to_before_.send(before_, {message::kind::serving, static_cast<std::uint32_t>(::getpid())});
}

descriptor_channel* siblings::heir() noexcept {
  if (after_ && after_->channel()) return &after_->channel();
  return before_ ? &before_ : nullptr;
}

bool siblings::listen(const std::function<void(passed_connection)>& parked) {
  const auto hear = [&](descriptor_channel& from) {
    using kind = descriptor_channel::received::kind;
    while (from) {
      auto got = from.receive();
      if (got.what == kind::nothing) return;
      if (got.what == kind::failed) return pause_for_shortage();
      if (got.what == kind::end) return from.close();
      if (got.what == kind::without_descriptor)
        log::warning("a parked connection is closed: too many open files");
      if (got.what != kind::taken) continue;
      if (got.content.what == message::kind::parked) parked({std::move(got.fd), got.content.layers});
      if (got.content.what == message::kind::serving)
        log::info("upgrade: process {} serves beside this one; QUIT either of the two", got.content.number);
    }
  };
  bool one_ended = false;
  if (before_) {
    to_before_.flush(before_);
    hear(before_);
    one_ended = !before_;
    if (one_ended) log::info("upgrade: the old program has ended");
  }
  if (!after_) return one_ended;
  hear(after_->channel());
  const auto how = after_->reap();
  if (!how) return one_ended;
  log::warning("upgrade: the new program, process {}, has ended with {}", after_->pid(), how->to_string());
  after_.reset();
  return true;
}

}  // namespace weir::process
