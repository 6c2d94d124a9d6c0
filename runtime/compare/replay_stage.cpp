#include "replay_stage.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <new>
#include <thread>
#include <utility>

#include "weir/base/error.hpp"
#include "weir/compare/detail/player.hpp"

namespace weir::compare {
namespace {

using kind = client_action::kind;

constexpr std::uint32_t first_port = 1024;
constexpr std::uint32_t ports = 65536 - first_port;
constexpr std::size_t most_rounds = 5'000;  // of the core without an end: each is many turns of coroutines

// Numbers of the trace beside those of actions.
constexpr std::uint64_t answered = 16;
constexpr std::uint64_t ended = 17;

peer_address address_of(std::uint32_t port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(port));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return peer_address::from(reinterpret_cast<const sockaddr*>(&at), sizeof at);
}

task<> watched(task<> step, std::exception_ptr* error, bool* is_over) {
  try {
    co_await step;
  } catch (...) {
    *error = std::current_exception();
  }
  *is_over = true;
}

}  // namespace

replay_stage::client::client(std::uint32_t at, std::uint32_t number) : place(at), hides(changing_headers()) {
  got.number = number;
}

replay_stage::replay_stage(const recording::content& recorded, const service_form& what,
                           const replay_options& how)
    : what_(what),
      how_(how),
      ports_(ports),
      set_(::epoll_create1(EPOLL_CLOEXEC)),
      handler_([this](connection c) { return begin(std::move(c)); }),
      beside_(1, how.config.workers.queue) {
  if (!set_) throw_system_error(errno, "epoll_create1");
  for (const auto& each : recorded.conversations)
    clients_.emplace_back(static_cast<std::uint32_t>(clients_.size()), each.number);
  core_.emplace(0U, std::nullopt, how.config, &beside_);
  here_.emplace(*core_);
  clock_.emplace(*core_);
  beside_.record_in({&figures_.counted, &figures_.measured});
  core_->poll();  // which opens what it waits in
  starter_.emplace(*core_, how.config, handler_, permits_);
  core_->local<connection_table>().when_freed([this](const peer_address& a) {
    client& c = clients_[ports_[a.port() - first_port]];
    has_closed(c);
    c.state = nullptr;
  });
  run_step(what.start, "start");
}

// The handler of a connection that begins, or goes on after it was parked.
task<> replay_stage::begin(connection c) {
  connection_state& state = c.state();
  task<> serves = what_.handler(std::move(c));
  // From here on nothing fails, and when_freed() will tell.
  if (opening_ != nullptr) opening_->state = &state;
  opening_ = nullptr;
  return serves;
}

void replay_stage::run_step(const core_step& step, const char* name) {
  if (!step) return;
  std::exception_ptr error;
  bool is_over = false;
  core_->spawn(watched(step(*core_), &error, &is_over));
  saturated_duration left = how_.patience;
  bool goes_on = settle();
  while (goes_on && !is_over && !left.is_over()) {
    left = clock_->advance_to_next(left);
    goes_on = settle();
  }
  if (error) std::rethrow_exception(error);
  if (!is_over && goes_on) static_cast<void>(fail(fmt::format("{} of the service does not end", name)));
}

bool replay_stage::fail(std::string why) {
  if (out_.failure.empty()) out_.failure = std::move(why);
  return false;
}

// FNV-1a.
void replay_stage::note(std::uint64_t what, std::uint32_t of, std::string_view bytes) noexcept {
  const auto add = [this](std::uint64_t value) {
    for (int i = 0; i < 8; ++i, value >>= 8) out_.trace = (out_.trace ^ (value & 0xff)) * 0x100'0000'01b3U;
  };
  add(static_cast<std::uint64_t>(clock_->elapsed().count()));
  add(what << 32 | of);
  add(bytes.size());
  for (const char c : bytes) out_.trace = (out_.trace ^ static_cast<unsigned char>(c)) * 0x100'0000'01b3U;
}

accepted_socket replay_stage::open(const client_action& a) {
  client& c = clients_[a.client];
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
    throw_system_error(errno, "socketpair");
  c.fd = unique_fd(ends[0]);
  unique_fd server(ends[1]);
  c.copy = unique_fd(::fcntl(server.get(), F_DUPFD_CLOEXEC, 0));
  if (!c.copy) throw_system_error(errno, "fcntl");
  if (a.room != 0) ::setsockopt(server.get(), SOL_SOCKET, SO_SNDBUF, &a.room, sizeof a.room);
  epoll_event e{};
  e.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  e.data.u32 = a.client;
  if (::epoll_ctl(set_.get(), EPOLL_CTL_ADD, c.fd.get(), &e) != 0) throw_system_error(errno, "epoll_ctl");
  live_.push_back(a.client);
  const std::uint32_t port = a.client % ports;
  ports_[port] = a.client;
  return {.fd = std::move(server), .peer = address_of(first_port + port), .permit = permits_.try_acquire()};
}

void replay_stage::leave(client& c) {
  static_cast<void>(pull(c));  // what has come it has seen
  c.got.left = true;
  c.unsent.clear();
  c.fd.reset();
}

void replay_stage::act(const client_action& a) {
  client& c = clients_[a.client];
  note(static_cast<std::uint64_t>(a.what), a.client, a.bytes);
  accepted_socket opened;
  switch (a.what) {
    case kind::open: opened = open(a); break;
    case kind::send:
      if (a.begins) c.got.at.push_back(c.got.answers.size());
      c.unsent += a.bytes;
      break;
    case kind::pause: c.pauses = true; break;
    case kind::go_on: c.pauses = false; break;
    case kind::finish: c.finishes = true; break;
    case kind::leave: leave(c); break;
  }
  push(c);
  if (a.failure != 0) how_.fail(a.failure);
  if (opened.fd) {
    opening_ = &c;
    starter_->deliver(std::move(opened));
    opening_ = nullptr;
  }
  rounds_ = 0;
  const bool goes_on = (!a.alone && a.failure == 0) || run_core();
  if (a.failure != 0) how_.fail(0);
  pull(c);
  if (goes_on && a.alone) static_cast<void>(settle());
}

// True: something was sent.
bool replay_stage::push(client& c) {
  if (!c.fd) return false;
  bool moved = false;
  while (!c.unsent.empty()) {
    const ssize_t n = ::send(c.fd.get(), c.unsent.data(), c.unsent.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return moved;
    moved = true;
    if (n < 0)
      c.unsent.clear();  // the server is gone
    else
      c.unsent.erase(0, static_cast<std::size_t>(n));
  }
  if (std::exchange(c.finishes, false)) {
    ::shutdown(c.fd.get(), SHUT_WR);
    moved = true;
  }
  return moved;
}

// True: something came, or the end.
bool replay_stage::pull(client& c) {
  if (!c.fd || c.pauses || c.got.ended) return false;
  std::array<char, 65536> buffer;
  for (bool moved = false;; moved = true) {
    const ssize_t n = ::recv(c.fd.get(), buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EAGAIN) return moved;
    if (n > 0) {
      const std::size_t had = c.got.answers.size();
      c.hides.append(c.got.answers, {buffer.data(), static_cast<std::size_t>(n)});
      note(answered, c.place, std::string_view(c.got.answers).substr(had));
      continue;
    }
    c.got.ended = true;
    c.got.by_reset |= n < 0;
    note(ended, c.place, c.got.by_reset ? "reset" : "");
    return true;
  }
}

// The server has closed its end, or gives it to somebody: the copy would hide that from the client.
void replay_stage::has_closed(client& c) noexcept {
  if (!c.copy) return;
  linger how{};
  socklen_t size = sizeof how;
  ::getsockopt(c.copy.get(), SOL_SOCKET, SO_LINGER, &how, &size);
  c.got.by_reset |= how.l_onoff != 0 && how.l_linger == 0;
  c.copy.reset();
}

void replay_stage::see_closed() noexcept {
  std::erase_if(live_, [this](std::uint32_t i) {
    client& c = clients_[i];
    if (c.state == nullptr || c.state->fd < 0) has_closed(c);
    return c.state == nullptr;
  });
}

// Gives turns until everything waits. core::poll() does not return while a coroutine yields for ever.
bool replay_stage::run_core() {
  for (bool is_quiet = false;;) {
    const std::uint64_t before = core_->driver().progress();
    bool has_run = false;
    try {
      core_->context().restart();
      has_run = core_->context().poll() != 0 || core_->driver().progress() != before;
    } catch (const std::bad_alloc&) {  // of a handler of Asio's: core::run() goes on as well
      has_run = true;
    }
    if (has_run && ++rounds_ == most_rounds)
      return fail(fmt::format("after {} the handlers run and run, and never wait", clock_->elapsed()));
    if (has_run) {
      is_quiet = false;
      continue;
    }
    if (is_quiet || !has_offloaded()) return true;
    // What has been handed back by now the next round finds.
    wait_for_jobs();
    is_quiet = true;
  }
}

bool replay_stage::has_offloaded() const {
  return beside_.queued() != 0 || figures_.counted[observe::figure::jobs].read() != 0;
}

void replay_stage::wait_for_jobs() noexcept {
  while (beside_.queued() != 0) std::this_thread::sleep_for(std::chrono::microseconds(50));
  beside_.leave(&*core_);  // nothing waits that it could drop
}

bool replay_stage::settle() {
  std::array<epoll_event, 64> events;
  rounds_ = 0;
  for (;;) {
    if (!run_core()) return false;
    see_closed();
    const int n = ::epoll_wait(set_.get(), events.data(), static_cast<int>(events.size()), 0);
    if (n <= 0) return true;
    for (int i = 0; i < n; ++i) {
      client& c = clients_[events[static_cast<std::size_t>(i)].data.u32];
      push(c);
      pull(c);
    }
  }
}

bool replay_stage::advance_to(std::chrono::milliseconds at) {
  saturated_duration left = at - clock_->elapsed();
  if (left.is_over()) return true;
  if (!settle()) return false;
  while (!left.is_over()) {
    left = clock_->advance_to_next(left);
    if (!settle()) return false;
  }
  return true;
}

bool replay_stage::wait_for_ends() {
  if (!settle()) return false;
  saturated_duration left = how_.patience;
  while (!live_.empty() && !left.is_over()) {
    left = clock_->advance_to_next(left);
    if (!settle()) return false;
  }
  if (live_.empty()) return true;
  return fail(fmt::format(
      "connection {}{}: its client has ended it, and the server has not ended it within {} of virtual time",
      clients_[live_.front()].got.number,
      live_.size() == 1 ? "" : fmt::format(" and {} others", live_.size() - 1), how_.patience));
}

replay_result replay_stage::play(const std::vector<client_action>& plan) {
  for (const client_action& each : plan) {
    if (!out_.failure.empty() || !advance_to(std::chrono::duration_cast<std::chrono::milliseconds>(each.at)))
      break;
    act(each);
  }
  if (out_.failure.empty() && wait_for_ends()) run_step(what_.stop, "stop");
  out_.took = clock_->elapsed();
  for (client& each : clients_) out_.clients.push_back(std::move(each.got));
  return std::move(out_);
}

}  // namespace weir::compare
