#include "weir/admin/detail/listener.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include "weir/admin/detail/metrics.hpp"
#include "weir/admin/detail/page.hpp"
#include "weir/admin/detail/status.hpp"
#include "weir/admin/detail/survey.hpp"
#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/core/offload.hpp"
#include "weir/core/sleep.hpp"
#include "weir/core/within.hpp"
#include "weir/listen/endpoint.hpp"
#include "weir/task/use_task.hpp"

namespace weir::admin {
namespace {

using namespace std::chrono_literals;
using socket = asio::posix::stream_descriptor;

constexpr unsigned most_clients = 16;
constexpr auto most_time = 5s;
constexpr auto shortage_pause = 500ms;  // nothing tells when a descriptor or memory is back
constexpr std::size_t shortest_token = 16;

bool is_of_this_host(const endpoint& at) {
  if (at.is_unix()) return true;
  const socket_address address = at.to_sockaddr();
  if (address.get()->sa_family == AF_INET)
    return ntohl(reinterpret_cast<const sockaddr_in*>(address.get())->sin_addr.s_addr) >> 24 == 127;
  const auto& v6 = reinterpret_cast<const sockaddr_in6*>(address.get())->sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&v6);
}

// The head of the request; empty if the client left before its end, or sent too much.
task<std::string> read_head(socket* client, bool* too_long) {
  std::string text;
  for (;;) {
    char part[2048];
    const ssize_t n = ::recv(client->native_handle(), part, sizeof part, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) {
      auto wait = client->async_wait(socket::wait_read, use_task);
      co_await wait;
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    text.append(part, static_cast<std::size_t>(n));
    if (const auto end = end_of_head(text)) {
      text.resize(*end);
      co_return text;
    }
    if (text.size() <= question::longest) continue;
    *too_long = true;
    break;
  }
  co_return std::string();
}

// And waits for the client to close: a close with input that was not read resets the connection, which
// destroys the answer on its way.
task<> write_and_close(socket* client, const std::string* text) {
  for (std::size_t sent = 0; sent < text->size();) {
    const ssize_t n = ::send(client->native_handle(), text->data() + sent, text->size() - sent,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      sent += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      auto wait = client->async_wait(socket::wait_write, use_task);
      co_await wait;
    } else if (errno != EINTR) {
      co_return;
    }
  }
  ::shutdown(client->native_handle(), SHUT_WR);
  for (;;) {
    char unread[2048];
    const ssize_t n = ::recv(client->native_handle(), unread, sizeof unread, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) break;
    if (n > 0 || errno == EINTR) continue;
    auto wait = client->async_wait(socket::wait_read, use_task);
    co_await wait;
  }
}

answer page_answer(const page_file& file, const question& q) {
  if (file.is_gzip && !q.accepts_gzip)
    return {.status = 406, .text = "this is sent with Content-Encoding: gzip alone\n"};
  return {200, file.type, std::string(file.bytes), file.is_gzip};
}

}  // namespace

std::optional<refusal> check(const settings& s) {
  const auto& [address, token] = s.admin;
  const bool printable = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!token.empty() && (token.size() < shortest_token || !printable))
    return refusal{"admin_token",
                   fmt::format("it needs {} printable characters or more, without spaces", shortest_token)};
  if (address.empty()) return std::nullopt;
  try {
    const endpoint at = endpoint::parse(address);
    if (at.what() == endpoint::kind::inherited || at.what() == endpoint::kind::named)
      return refusal{"admin",
                     fmt::format("\"{}\": an inherited socket cannot be the admin listener", address)};
    const bool any_port = at.is_tcp() && at.port() == 0;
    for (const std::string& other : s.listen)
      if (!any_port && endpoint::parse(other) == at)
        return refusal{"admin", fmt::format("\"{}\" is in listen as well", address)};
    if (token.empty() && !is_of_this_host(at))
      return refusal{"admin", fmt::format("\"{}\" can be reached by other hosts: that needs admin_token; "
                                          "without one use \"127.0.0.1:PORT\" or \"unix:/path\"",
                                          address)};
  } catch (const std::invalid_argument& e) {
    return refusal{"admin", e.what()};
  }
  return std::nullopt;
}

std::optional<bound_socket> listener::bind(const settings& s) {
  if (s.admin.address.empty()) return std::nullopt;
  socket_settings options = s.socket;
  options.unix_mode = 0600;
  return bound_socket::bind(endpoint::parse(s.admin.address), options);
}

void listener::start() { home_.spawn(accept_all()); }

task<> listener::accept_all() {
  for (;;) {
    try {
      co_await accept_until_error();
    } catch (const std::bad_alloc&) {
    } catch (const std::system_error& e) {
      if (e.code() == std::errc::operation_canceled) co_return;
      static log::limiter limit;
      if (limit.pass()) log::warning("admin listener: {}", e.what());
    }
    co_await sleep_for(shortage_pause);
  }
}

task<> listener::accept_until_error() {
  // A descriptor of its own, which Asio closes.
  const int copy = ::fcntl(on_.get(), F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw_system_error(errno, "fcntl");
  socket in_asio(home_.context(), copy);
  for (;;) {
    auto wait = in_asio.async_wait(socket::wait_read, use_task);
    co_await wait;
    for (;;) {
      const int client = ::accept4(copy, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (client < 0 && errno == EAGAIN) break;
      if (client < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
      if (client < 0) throw_system_error(errno, "accept");
      unique_fd accepted(client);
      if (clients_ < most_clients) home_.spawn(serve(std::move(accepted)));
    }
  }
}

task<> listener::serve(unique_fd client) {
  // Counts it for as long as the frame lives.
  struct present {
    explicit present(unsigned& n) noexcept : all(n) { ++all; }
    present(const present&) = delete;
    present& operator=(const present&) = delete;
    ~present() { --all; }
    unsigned& all;
  };
  const present here(clients_);
  try {
    socket in_asio(home_.context(), client.get());
    static_cast<void>(client.release());
    task<> all = converse(&in_asio);
    co_await within(most_time, std::move(all));
  } catch (const std::system_error&) {  // it has taken too long, or the core ends
  }
}

task<> listener::converse(asio::posix::stream_descriptor* client) {
  bool too_long = false;
  task<std::string> reading = read_head(client, &too_long);
  const std::string head = co_await std::move(reading);
  if (head.empty() && !too_long) co_return;
  refused_question why{431};
  const auto q = head.empty() ? std::nullopt : parse_question(head, why);
  answer a{.status = why.status, .text = "this cannot be answered\n"};
  if (q) a = answer_to(*q);
  if (q && a.status == 200) {
    if (const report* const wanted = report_at(q->path); wanted != nullptr) {
      task<answer> made = answer_with(wanted);
      a = co_await std::move(made);
    }
  }
  const std::string text = written(a, !q || q->has_body);
  task<> writing = write_and_close(client, &text);
  co_await std::move(writing);
}

const report* listener::report_at(std::string_view path) const noexcept {
  const auto at = std::ranges::find(from_.reports, path, &report::path);
  return at == from_.reports.end() ? nullptr : &*at;
}

task<answer> listener::answer_with(const report* wanted) {
  auto make = [wanted] { return wanted->make(); };
  auto making = offload(std::move(make));
  answer a{.status = 503, .type = {}, .text = {}};
  try {
    a.text = co_await making;
    a.status = 200;
    a.type = wanted->type;
  } catch (const std::system_error& e) {
    if (e.code() == std::errc::operation_canceled) throw;
    a.text = fmt::format("{}\n", e.what());
    a.type = "text/plain; charset=utf-8";
  }
  co_return a;
}

answer listener::answer_to(const question& q) {
  if (q.path == "/live") return {.text = "live\n"};
  if (q.path == "/ready")
    return from_.board.is_ready() ? answer{.text = "ready\n"} : answer{.status = 503, .text = "not ready\n"};
  if (token_.empty() && on_.local().is_tcp() && !names_an_address(q.host))
    return {.status = 421, .text = "without admin_token it is asked by its address, or as localhost\n"};
  // The page holds no figures, and a browser has no token before it is asked for one.
  for (const page_file& each : page_files())
    if (each.path == q.path) return page_answer(each, q);
  if (!token_.empty() && !is_token(q.token, token_)) return {.status = 401, .text = "a token is needed\n"};
  if (from_.bring_up_to_date) from_.bring_up_to_date();
  if (q.path == "/metrics" && q.wants_openmetrics)
    return {200, "application/openmetrics-text; version=1.0.0; charset=utf-8",
            metrics_of(from_.board, observe::series(), exposition::dialect::openmetrics)};
  if (q.path == "/metrics")
    return {200, "text/plain; version=0.0.4; charset=utf-8",
            metrics_of(from_.board, observe::series(), exposition::dialect::text)};
  if (q.path == "/status") return {200, "application/json", status_json(from_.board, from_.listen)};
  if (q.path == "/connections") {
    survey::wish(from_.board.pool());
    return {200, "application/json", connections_json(from_.board)};
  }
  if (report_at(q.path) != nullptr) return {};  // see answer_with()
  if (q.path == "/status.txt") return {.text = status_table(from_.board)};
  std::string others;
  for (const report& each : from_.reports) others += fmt::format("{}, ", each.path);
  return {.status = 404,
          .text = fmt::format(
              "there are /, /metrics, /status, /status.txt, /connections, {}/ready and /live\n", others)};
}

}  // namespace weir::admin
