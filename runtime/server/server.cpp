#include "weir/server/server.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <random>
#include <span>
#include <system_error>
#include <utility>

#include "weir/base/detail/idle_descriptors.hpp"
#include "weir/base/detail/line_file.hpp"
#include "weir/base/detail/standard_descriptors.hpp"
#include "weir/base/log.hpp"
#include "weir/config/config_error.hpp"
#include "weir/config/detail/command_line.hpp"
#include "weir/connection/detail/connection_state.hpp"
#include "weir/core/sleep.hpp"
#include "weir/distribute/detail/policy.hpp"
#include "weir/model/model.hpp"
#include "weir/server/detail/plan.hpp"
#include "weir/server/detail/recording.hpp"

namespace weir {

core_choice choose_cores(const settings& s, std::string_view origin) {
  const auto& row = row_of(s.model);
  const std::size_t most = row.is_one_thread() ? 1 : std::numeric_limits<std::size_t>::max();
  return choose_cores(s.cores.use, allowed_cpus(), read_cgroup_quota(), physical_cores_first(), most, origin);
}

namespace {

// As many connections as the model can have at once.
std::uint32_t most_connections(const settings& s) {
  const auto& row = row_of(s.model);
  if (row.one_at_a_time) return 1;
  if (row.threads == handler_threads::per_connection) return std::min(s.limits.connections, s.workers.most);
  return s.limits.connections;
}

// Each core's policy for parked connections draws otherwise than each acceptor's.
constexpr std::uint64_t parked_seeds = 1 << 20;

// Connections that a loop has not taken up while a thread accepts more for it. One would have the thread wait
// for the loop after each.
constexpr std::size_t most_waiting = 2;

// A blocking thread looks at its timers and posts so often.
constexpr std::chrono::milliseconds slice(20);

}  // namespace

server::server(const settings& s, connection_handler handler)
    : server(s, service_form{.handler = std::move(handler)}) {}

server::server(const settings& s, service_form form)
    : settings_(s),
      form_(std::move(form)),
      own_board_(std::make_unique<process::scoreboard>()),
      board_(*own_board_),
      score_(*own_board_->take(s.model)),
      ledger_(board_.ledger_of(score_)),
      seed_(s.distribute.seed != 0 ? s.distribute.seed : std::random_device{}()),
      permits_(most_connections(s)),
      per_address_(s.limits.connections_per_ip),
      proxied_(s.proxy) {
  open_standard_descriptors();
  if (row_of(s.model).processes)
    throw config_error(
        {"model: a server is one process, and \"process-pool\" needs a master that forks others; start it "
         "with weir::run, or choose another model, such as \"loop-per-core\""});
  check_settings(s);
  for (const auto& refused : {check(s, form_.keeps), check_listeners(s), admin::check(s), check_io(s)})
    if (refused) throw config_error({fmt::format("{}: {}", refused->key, refused->text)});
  if (const auto files = read_tls(s)) take_certificates(s, *files);
  const std::vector<int> cpus = choose_cores(s).cpus;
  const std::size_t loops = row_of(s.model).one_loop ? 1 : cpus.size();
  const bool kernel_distributes = s.distribute.policy == policy_kind::kernel;
  for (const std::string& text : s.listen) {
    const endpoint at = endpoint::parse(text);
    if (!kernel_distributes) {
      listeners_.push_back(bound_socket::bind(at, s.socket));
      continue;
    }
    for (auto& one :
         bind_group(at, cpus.size(), s.socket, s.distribute.pin_incoming ? cpus : std::vector<int>{}))
      listeners_.push_back(std::move(one));
  }

  admin_socket_ = admin::listener::bind(s);
  build(cpus, loops);
  board_.describe(settings_);
  score_.pid = ::getpid();
  score_.started = board_.pool().started.load();
  for (std::size_t i = 0; i < listeners_.size(); ++i)
    add_acceptors(listeners_[i], static_cast<unsigned>(i % cores_->size()));
}

server::server(const settings& s, service_form form, inheritance from_master)
    : settings_(s),
      form_(std::move(form)),
      own_board_(from_master.board == nullptr ? std::make_unique<process::scoreboard>() : nullptr),
      board_(own_board_ ? *own_board_ : *from_master.board),
      score_(own_board_ ? *own_board_->take(s.model) : *from_master.score),
      ledger_(board_.ledger_of(score_)),
      counts_live_(from_master.accept != accept_kind::shared && from_master.accept != accept_kind::mutex),
      shares_listeners_(true),
      listeners_(std::move(from_master.listeners)),
      admin_socket_(std::move(from_master.admin)),
      seed_(s.distribute.seed != 0 ? s.distribute.seed : std::random_device{}()),
      permits_(most_connections(s), nullptr, from_master.connections),
      per_address_(s.limits.connections_per_ip),
      proxied_(s.proxy),
      when_serving_(std::move(from_master.serving)),
      first_bytes_grace_(std::chrono::seconds(1)) {
  // There it puts off the end of every idle connection, which must come before what is left is cut.
  if (row_of(s.model).handlers_migrate())
    first_bytes_grace_ = std::min(first_bytes_grace_, s.limits.drain_timeout / 2);
  if (from_master.tls) take_certificates(s, *from_master.tls);
  build(from_master.cpus, row_of(s.model).one_loop ? 1 : from_master.cpus.size());
  for (connection_starter& r : starters_)
    r.give_parked_to(from_master.give_parked, from_master.accept == accept_kind::dispatch);
  siblings_ = from_master.siblings;
  deliver_.emplace(delivery_from(0, seed_));
  std::vector<accept_thread::listening> sockets;
  for (const bound_socket& l : listeners_) sockets.push_back({l.get(), l.local()});
  const auto excess = settings_.limits.excess;
  switch (from_master.accept) {
    case accept_kind::shared:
      for (const auto& each : sockets)
        accept_threads_.emplace_back(each, permits_, delivery_from(0, seed_ + accept_threads_.size()),
                                     excess);
      break;
    case accept_kind::mutex:
      accept_threads_.emplace_back(std::move(sockets), from_master.lock, permits_, delivery_from(0, seed_),
                                   excess);
      break;
    case accept_kind::reuseport:
      hand_on_ = std::move(from_master.hand_on);
      for (std::size_t i = 0; i < listeners_.size(); ++i)
        add_acceptors(listeners_[i], static_cast<unsigned>(i % cores_->size()));
      break;
    case accept_kind::notify:
    case accept_kind::dispatch: break;
  }
  for (accept_thread& a : accept_threads_) {
    if (siblings_ != nullptr) a.stand_back_for(*siblings_);
    a.stand_back_while([this] {
      return std::any_of(starters_.begin(), starters_.end(),
                         [](const connection_starter& each) { return each.waiting() >= most_waiting; });
    });
  }
  for (connection_starter& r : starters_)
    r.when_taken_up([this] {
      for (accept_thread& a : accept_threads_) a.has_caught_up();
    });
}

void server::take_limits(const limit_settings& fresh) noexcept {
  (*cores_)[0].driver().assert_thread("server::take_limits");
  (*ledger_.first().counted)[observe::figure::reloads].add(1);
  limit_settings& present = settings_.limits;
  present.connections = fresh.connections;
  permits_.set_limit(most_connections(settings_));
  if (per_address_.is_on() && fresh.connections_per_ip != 0) {
    present.connections_per_ip = fresh.connections_per_ip;
    per_address_.set_limit(fresh.connections_per_ip);
  }
  present.idle_timeout = fresh.idle_timeout;
  for (connection_starter& r : starters_) r.set_idle_timeout(fresh.idle_timeout);
  if (threads_) threads_->set_idle_timeout(fresh.idle_timeout);
  present.drain_delay = fresh.drain_delay;
  drain_delays_ = fresh.drain_delay.count() != 0;
  present.drain_timeout = fresh.drain_timeout;
}

void server::build(const std::vector<int>& cpus, std::size_t loops) {
  settings_.io = choose_io(settings_).io;
  score_.io = settings_.io;
  drain_delays_ = settings_.limits.drain_delay.count() != 0;
  std::vector<std::optional<int>> pins;
  for (std::size_t i = 0; i < loops; ++i)
    pins.push_back(settings_.cores.pin ? std::optional(cpus[i]) : std::nullopt);
  const auto& row = row_of(settings_.model);
  offload_ = std::make_unique<offload_pool>(settings_.workers.count, settings_.workers.queue);
  cores_ = std::make_unique<core_pool>(
      pins, settings_,
      core_role{.io_blocks = row.io_blocks, .handlers_migrate = row.handlers_migrate(), .ledger = &ledger_},
      offload_.get());
  offload_->record_in(ledger_.first());
  for (core& c : *cores_)
    starters_.emplace_back(c, settings_, form_.handler, permits_,
                           per_address_.is_on() ? &per_address_ : nullptr, &leaves_, &proxied_, &tls_);
  const std::vector<int> threads_on = settings_.cores.pin ? cpus : std::vector<int>{};
  if (row.handlers_migrate()) {
    workers_ = std::make_unique<worker_pool>(settings_, row.threads == handler_threads::fixed, threads_on,
                                             *cores_, &ledger_);
    for (connection_starter& r : starters_) r.run_handlers_on(*workers_);
  }
  if (row.threads == handler_threads::per_connection)
    threads_ = std::make_unique<connection_threads>(
        settings_, threads_on, form_.handler, permits_, per_address_.is_on() ? &per_address_ : nullptr,
        cores_->offload_threads(), &leaves_, &proxied_, &ledger_, &tls_);
  if (row.one_at_a_time) starters_[0].block(slice);
  taps_ =
      make_recorder(settings_.record, shares_listeners_ ? std::optional(score_.index.load()) : std::nullopt,
                    ledger_.first());
  for (connection_starter& r : starters_) r.listen_by(taps_.get());
  if (threads_) threads_->listen_by(taps_.get());
  acceptors_of_.resize(cores_->size());
  watching_.resize(cores_->size());
  const bool stays = starters_.size() == 1 || settings_.distribute.policy == policy_kind::kernel;
  for (unsigned i = 0; !stays && i < starters_.size(); ++i) {
    starters_[i].place_parked_by(placement_from(i, seed_ + parked_seeds + i, true));
    if (settings_.distribute.policy == policy_kind::ip_hash) starters_[i].place_named_clients();
  }
  ending_.emplace(*this);
  if (admin_socket_) begin_admin();
  begin_recording();
}

server::line_flush::~line_flush() { log::flush_line_files(); }

server::~server() {
  // The acceptors that wait for a permit are destroyed before the permits are.
  permits_.forget_waiting();
}

// The next loop takes the clients of a listener while its own loop is held.
void server::add_acceptors(const bound_socket& listener, unsigned at_core) {
  add_acceptor(listener, at_core);
  if (starters_.size() == 1 || row_of(settings_.model).io_blocks) return;
  const auto next = static_cast<unsigned>((at_core + 1) % starters_.size());
  add_acceptor(listener, next).stand_in_while([&home = starters_[at_core]] {
    const bool held = home.is_held();
    home.ask();
    return held;
  });
}

acceptor& server::add_acceptor(const bound_socket& listener, unsigned at_core) {
  // With one connection at a time there is no second client to refuse: the next one waits.
  const auto& row = row_of(settings_.model);
  const excess_kind excess = row.one_at_a_time ? excess_kind::wait : settings_.limits.excess;
  std::function<void(accepted_socket)> deliver = delivery_from(at_core, seed_ + acceptors_.size());
  // The kernel has chosen this process by a hash, which knows no counts. The permit of the connection counts
  // already.
  if (siblings_ != nullptr && hand_on_)
    deliver = [this, serve = std::move(deliver)](accepted_socket s) {
      if (!stops_.load() && siblings_->own_is_above_share()) {
        handed_on_.fetch_add(1);
        if (hand_on_(s.fd.get(), s.layers)) return;
        handed_on_.fetch_sub(1);
      }
      serve(std::move(s));
    };
  acceptor& made =
      acceptors_.emplace_back((*cores_)[at_core], listener, permits_, std::move(deliver), excess);
  // Whether a listener blocks holds for each process that has it, and a socket may be handed on to a loop.
  const bool blocks = row.io_blocks && !shares_listeners_;
  if (blocks) made.accept_blocking_sockets();
  // One blocking call can wait for one listener only.
  if (blocks && listeners_.size() == 1) made.block(slice);
  acceptors_of_[at_core].push_back(&made);
  return made;
}

// With a socket for each loop the kernel chooses by a hash, which knows no counts: what a loop has above its
// share goes to the loop with the fewest.
connection_starter& server::within_share(connection_starter& here) {
  connection_starter* least = &here;
  for (connection_starter& each : starters_)
    if (each.load() < least->load() && !each.is_held()) least = &each;
  if (here.load() + 1 <= most_beside(least->load())) return here;
  watch_handed_over(here.home().index());
  return *least;
}

// Where a connection that was accepted on core `at_core` goes.
std::function<void(accepted_socket)> server::delivery_from(unsigned at_core, std::uint64_t seed) {
  if (threads_) return [this](accepted_socket s) { threads_->deliver(std::move(s)); };
  if (settings_.distribute.policy == policy_kind::kernel && starters_.size() > 1 &&
      !settings_.distribute.pin_incoming)
    return
        [this, &here = starters_[at_core]](accepted_socket s) { within_share(here).deliver(std::move(s)); };
  if (settings_.distribute.policy == policy_kind::kernel || starters_.size() == 1)
    return [&here = starters_[at_core]](accepted_socket s) { here.deliver(std::move(s)); };
  return [place = placement_from(at_core, seed, false)](accepted_socket s) {
    place(s.peer).deliver(std::move(s));
  };
}

// The core that serves the next client of that address. A parked connection counts where it is, but not for
// the choice of where it goes.
std::function<connection_starter&(const peer_address&)> server::placement_from(unsigned at_core,
                                                                               std::uint64_t seed,
                                                                               bool for_parked) {
  // What the kernel has given to a loop that is held goes to another one.
  const auto policy = settings_.distribute.policy == policy_kind::kernel ? policy_kind::least_connections
                                                                         : settings_.distribute.policy;
  return [this, at_core, for_parked, decide = distributor(policy, starters_.size(), seed),
          loads = std::vector<std::uint32_t>(starters_.size())](
             const peer_address& peer) mutable -> connection_starter& {
    for (std::size_t i = 0; i < loads.size(); ++i) loads[i] = starters_[i].load();
    if (for_parked) --loads[at_core];
    const bool sticky =
        decide.policy() == policy_kind::ip_hash;  // its client waits for the loop that knows it
    for (std::size_t i = 0; i < loads.size() && !sticky; ++i)
      if (starters_[i].is_held()) loads[i] = unavailable;
    const auto chosen = decide.choose(loads, {.hash = peer.hash(), .has_address = peer.is_ip()});
    if (chosen != at_core && !sticky) watch_handed_over(at_core);
    return starters_[chosen];
  };
}

// An accept thread needs no watch: it hands over two connections at most.
void server::watch_handed_over(unsigned at_core) {
  if (core& here = (*cores_)[at_core];
      core::current() == &here && !std::exchange(watching_[at_core], char{1}))
    here.spawn(take_back_from_held(at_core));
}

// While connections wait for other loops: those that wait for one that is held go to loops that turn.
task<> server::take_back_from_held(unsigned at_core) {
  const std::shared_ptr<char> watch(&watching_[at_core], [](char* yes) { *yes = 0; });
  const auto place = placement_from(at_core, seed_ + parked_seeds * 2 + at_core, false);
  for (bool any_waits = true; any_waits && stops_.load() == 0;) {
    co_await sleep_for(std::chrono::milliseconds(100));
    any_waits = false;
    for (connection_starter& each : starters_) {
      if (each.is_held())
        for (accepted_socket& s : each.take_back()) {
          try {
            place(s.peer).enter(std::move(s));
          } catch (const std::bad_alloc&) {  // this one is lost
          }
        }
      any_waits |= each.waiting() != 0;
    }
  }
}

void server::adopt(unique_fd connection, socket_layers on_it) {
  (*cores_)[0].driver().assert_thread("server::adopt");
  permit_pool::permit permit = permits_.try_acquire();
  if (!permit) {
    ++refused_here_;
    return;
  }
  sockaddr_storage address;
  socklen_t size = sizeof address;
  if (::getpeername(connection.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return;  // it has gone
  ++handed_over_;
  (*deliver_)({std::move(connection), peer_address::from(reinterpret_cast<const sockaddr*>(&address), size),
               std::move(permit), on_it});
}

bool server::accept_from(std::size_t i) {
  (*cores_)[0].driver().assert_thread("server::accept_from");
  if (i >= listeners_.size()) return true;
  unique_fd connection(::accept4(listeners_[i].get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  const int error = connection ? 0 : errno;
  if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) {
    if (error == EMFILE || error == ENFILE) detail::release_idle_descriptors();
    ++pauses_here_;
    if (const auto held_back = log_limit_.pass())
      log::warning("accept: {} ({} more since the last line)", std::generic_category().message(error),
                   *held_back);
    return false;
  }
  if (error == EAGAIN) ++found_nobody_;
  if (connection) adopt(std::move(connection), listeners_[i].local().layers());
  return true;
}

void server::retry_accepting() noexcept {
  (*cores_)[0].driver().assert_thread("server::retry_accepting");
  if (!accept_threads_run_) return;
  for (accept_thread& a : accept_threads_) a.retry();
}

std::vector<endpoint> server::addresses() const {
  std::vector<endpoint> out;
  for (const auto& l : listeners_)
    if (out.empty() || out.back() != l.local()) out.push_back(l.local());
  return out;
}

}  // namespace weir
