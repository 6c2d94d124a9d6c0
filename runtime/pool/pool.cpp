#include "pool.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <utility>

#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/config/config_error.hpp"
#include "weir/config/detail/names.hpp"
#include "weir/core/detail/cpu_set.hpp"
#include "weir/model/model.hpp"
#include "weir/process/detail/privileges.hpp"
#include "weir/process/detail/scoreboard.hpp"
#include "weir/process/detail/worker_siblings.hpp"
#include "weir/server/detail/log_file.hpp"
#include "weir/server/detail/placement.hpp"
#include "weir/server/detail/process_pool.hpp"
#include "weir/server/detail/reload.hpp"
#include "weir/server/server.hpp"
#include "worker_process.hpp"

namespace weir {
namespace {

void keep_fixed_keys(const settings& present, settings& fresh, state_kind keeps) {
  for (const tunable& each : tunables())
    if (needs_restart_in_pool(each.key)) tell_of_restart(each, present, fresh, model_hint(each.key));
  fresh.model = present.model;
  fresh.processes.accept = present.processes.accept;
  fresh.processes.pid_file = present.processes.pid_file;
  fresh.socket = present.socket;
  fresh.admin = present.admin;
  // The new keys beside the old ones.
  if (const auto refused = check(fresh, keeps))
    throw config_error({fmt::format("{}: {}", refused->key, refused->text)});
}

// The CPUs of a worker as the system allows them now: one that has left the mask of the master (taskset, a
// cpuset) is replaced by another. A later worker has its own again when it is back.
std::vector<int> allowed_instead(std::vector<int> cpus, unsigned index) {
  const cpu_set allowed = allowed_cpus();
  for (std::size_t i = 0; i < cpus.size(); ++i) {
    if (allowed.contains(cpus[i]) || allowed.empty()) continue;
    const int other = *(allowed.begin() + static_cast<long>((index + i) % allowed.size()));
    log::warning("worker {} may not run on CPU {} any more; it runs on CPU {}", index, cpus[i], other);
    cpus[i] = other;
  }
  return cpus;
}

}  // namespace

pool::pool(pool_plan plan, std::function<pool_plan()> read_again, service_form form,
           process::invocation itself)
    : plan_(std::move(plan)),
      read_again_(std::move(read_again)),
      form_(std::move(form)),
      slots_(plan_.settings.processes.count),
      itself_(std::move(itself)),
      from_(process::heritage::take()),
      shares_(from_.has_value()) {
  const std::string_view accept = name_of(plan_.settings.processes.accept);
  if (from_ && from_->accept != accept)
    throw_system_error(EINVAL, fmt::format("processes.accept = \"{}\": the sockets of the pool that runs are "
                                           "set up for \"{}\", so an upgrade cannot change it",
                                           accept, from_->accept));
  if (!from_) process::pid_file::refuse_if_taken(plan_.settings.processes.pid_file);
  take_tickets();
  plan_.tls = read_tls(plan_.settings);
  open_sockets(plan_.settings, slots_);
  open_admin_socket();
  if (from_)  // those of addresses that are served no longer
    for (const auto& each : from_->sockets) unique_fd(each.fd).reset();
  if (plan_.settings.processes.accept != accept_kind::mutex) return;
  accept_lock_ = unique_fd(::memfd_create("weir accept lock", MFD_CLOEXEC));
  if (!accept_lock_) throw_system_error(errno, "memfd_create");
}

int pool::run() {
  process::pool_program program;
  program.work = [this](process::worker_slot slot) { return work(slot); };
  program.reload = [this] { return reload(); };
  program.reloaded = [this](bool taken) { reloaded(taken); };
  program.resized = [this](unsigned workers) {
    open_sockets(plan_.settings, workers);
    steer(workers);
  };
  program.watched = [this](const std::vector<bool>& occupied) { return watched(occupied); };
  if (plan_.settings.processes.accept == accept_kind::reuseport)
    program.own_listeners = [this](unsigned index) { return own_listeners(index); };
  program.reopen_log = [this] { reopen_log(); };
  program.itself = itself_;
  program.sockets = [this] { return to_hand_over(); };
  program.handing_over = [this] {
    begin_sharing();
    pid_file_->step_aside();
  };
  program.alone = [this] {
    end_sharing();
    pid_file_->step_back();
  };
  program.from = std::move(from_);
  program.ending = [this] { close_sockets(); };
  std::optional<placement_watch> places;
  program.check_placement = [&places] { places->check(); };
  process::supervisor master(plan_.settings, std::move(program));
  places.emplace(master.scores(),
                 [this](unsigned worker, unsigned loop) { return cpu_of_loop(plan_, worker, loop); });
  // Not before: a signal that comes as soon as the file is there would end this process.
  pid_file_.emplace(plan_.settings.processes.pid_file);
  tell_where();
  switch (master.run()) {
    case process::supervisor::outcome::stopped: return 0;
    case process::supervisor::outcome::cut_connections:
      log::warning("stopped; connections were cut");
      return process::exit_connections_cut;
    case process::supervisor::outcome::never_served: break;
  }
  return 1;
}

// A log that cannot be opened is no reason to stop serving: the lines still go to the old file.
void pool::reopen_log() noexcept { weir::reopen_log(plan_.settings); }

std::vector<endpoint> pool::addresses() const {
  std::vector<endpoint> out;
  for (const std::size_t i : sockets_of(plan_.settings)) out.push_back(sockets_[i].group.front().local());
  return out;
}

void pool::tell_where() const {
  std::string where;
  for (const endpoint& at : addresses()) where += (where.empty() ? "" : ", ") + at.to_string();
  const auto& p = plan_.settings.processes;
  std::string kinds;
  for (const model_kind each : models_of(plan_.settings))
    kinds += fmt::format("{}{}", kinds.empty() ? " in model " : " and ", name_of(each));
  log::info("listening on {}; {}, {} workers of {} loop{}{}, {}{}", where, name_of(plan_.settings.model),
            p.count, p.loops, p.loops == 1 ? "" : "s", kinds, name_of(p.accept),
            plan_.settings.cores.pin ? ", on CPU " + cpu_set(plan_.cpus).to_string() : "");
  if (admin_) log::info("admin listener on {}", admin_->local());
  log_io_choice(plan_.settings);
}

std::optional<settings> pool::reload() {
  try {
    pool_plan fresh = read_again_();
    keep_fixed_keys(plan_.settings, fresh.settings, form_.keeps);
    fresh.tls = read_tls(fresh.settings);
    open_sockets(fresh.settings, fresh.settings.processes.count);
    coming_ = std::move(fresh);
    return coming_->settings;
  } catch (const config_error& e) {
    for (const std::string& message : e.messages()) log::error("{}", message);
  } catch (const std::exception& e) {
    log::error("{}", e.what());
  }
  log::error("the configuration is not taken; the present one serves on");
  keep_sockets(plan_.settings);
  steer(slots_);
  return std::nullopt;
}

void pool::reloaded(bool taken) {
  if (taken) plan_ = std::move(*coming_);
  coming_.reset();
  keep_sockets(plan_.settings);
  steer(taken ? plan_.settings.processes.count : slots_);
  if (!taken) return;
  log::set_level(plan_.settings.log.level);
  reopen_log();
  tell_where();
}

int pool::work(process::worker_slot slot) {
  const pool_plan mine = slot.is_coming ? std::move(*coming_) : std::move(plan_);
  const settings s = settings_of_worker(mine.settings, slot.index);
  log::set_level(s.log.level);
  process::drop_privileges(s.privileges);

  inheritance from_master;
  from_master.cpus = allowed_instead(cpus_of_worker(mine, slot.index), slot.index);
  from_master.tls = mine.tls;
  from_master.accept = s.processes.accept;
  from_master.lock = accept_lock_.get();
  master_mailbox to_master(slot.to_master);
  // The master chooses by `connections`, which then is true at any instant. In the other modes the permits of
  // threads that wait for a connection count too.
  const bool waits_with_permit =
      s.processes.accept == accept_kind::shared || s.processes.accept == accept_kind::mutex;
  const auto count = waits_with_permit ? &process::worker_score::load : &process::worker_score::connections;
  from_master.connections = &(slot.score.*count);
  process::worker_siblings siblings(slot.board, slot.score, count);
  from_master.siblings = &siblings;
  from_master.hand_on = [&](int fd, socket_layers on_it) {
    auto& score = slot.board.pool();
    if (score.excess_sent.fetch_add(1) < score.excess_allowed &&
        to_master.hand_on(fd, on_it) == master_mailbox::sent::yes)
      return true;
    score.excess_sent.fetch_sub(1);
    return false;
  };
  from_master.serving = [&] {
    to_master.send({process::message::kind::serving, slot.index});
    log::debug("worker {} of generation {} serves", slot.index, slot.generation);
  };
  from_master.give_parked = [&](int fd) {
    using sent = process::descriptor_channel::sent;
    auto& parked = slot.board.pool().parked;
    // A connection counts before the master has read its message. The master sets the figure anew at each
    // turn.
    if (parked.fetch_add(1) >= slot.board.pool().parked_most) return parking::given::never;
    const sent how = to_master.give(fd);
    if (how == sent::yes) return parking::given::yes;
    parked.fetch_sub(1);
    return how == sent::full ? parking::given::not_now : parking::given::never;
  };
  from_master.board = &slot.board;
  from_master.score = &slot.score;
  from_master.admin = std::move(admin_);
  keep_sockets(s);
  for (auto& each : sockets_)
    from_master.listeners.push_back(
        std::move(each.group[std::min<std::size_t>(slot.index, each.group.size() - 1)]));
  sockets_.clear();
  server serving(s, std::move(form_), std::move(from_master));
  return run_worker(s, slot, serving, to_master);
}

int run_process_pool(pool_plan plan, std::function<pool_plan()> read_again, service_form form, int argc,
                     char** argv) {
  return pool(std::move(plan), std::move(read_again), std::move(form),
              process::invocation::of_this_process(argc, argv))
      .run();
}

void refuse_upgrade_to(const settings& s) {
  if (process::heritage::take())
    throw_system_error(EINVAL, fmt::format("model = \"{}\": a process pool is taken over by a process pool",
                                           name_of(s.model)));
}

}  // namespace weir
