#include "weir/server/run.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <exception>
#include <functional>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <variant>

#include "last_resort.hpp"
#include "server_signals.hpp"
#include "weir/admin/detail/listener.hpp"
#include "weir/admin/detail/status.hpp"
#include "weir/base/detail/standard_descriptors.hpp"
#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/base/unique_fd.hpp"
#include "weir/config/detail/command_line.hpp"
#include "weir/config/detail/names.hpp"
#include "weir/core/detail/standing_timer.hpp"
#include "weir/dump/detail/dump.hpp"
#include "weir/dump/detail/recorder.hpp"
#include "weir/model/model.hpp"
#include "weir/process/detail/foreign_children.hpp"
#include "weir/process/detail/pid_file.hpp"
#include "weir/process/detail/privileges.hpp"
#include "weir/process/detail/service_manager.hpp"
#include "weir/server/detail/comparison.hpp"
#include "weir/server/detail/log_file.hpp"
#include "weir/server/detail/loop_pulse.hpp"
#include "weir/server/detail/placement.hpp"
#include "weir/server/detail/plan.hpp"
#include "weir/server/detail/process_pool.hpp"
#include "weir/server/detail/reload.hpp"

namespace weir {
namespace {

constexpr int ok = 0;
constexpr int failed = 1;
constexpr int misused = 2;
constexpr int cut = 3;

void say(std::FILE* to, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), to);
  if (text.empty() || text.back() != '\n') std::fputc('\n', to);
}

// What only the folders behind config can judge, but for the choice of cores.
std::vector<std::string> mistakes(const command_line& asked, state_kind keeps, std::span<const key> own) {
  std::vector<std::string> wrong;
  if (const auto refused = check(asked.settings, keeps))
    wrong.push_back(fmt::format("{}: {}", asked.origin_of(refused->key), refused->text));
  const auto add = [&](std::string_view key, std::string_view text) {
    wrong.push_back(fmt::format("{}: {}: {}", asked.origin_of(key), key, text));
  };
  bool parse = true;
  for (const std::string& address : asked.settings.listen) {
    try {
      static_cast<void>(endpoint::parse(address));
    } catch (const std::invalid_argument& e) {
      wrong.push_back(fmt::format("{}: {}", asked.origin_of("listen"), e.what()));
      parse = false;
    }
  }
  if (parse)
    for (const auto& refused :
         {check_listeners(asked.settings), admin::check(asked.settings), check_io(asked.settings)})
      if (refused) add(refused->key, refused->text);
  if (parse)
    for (const tls_support::problem& each : check_tls(asked.settings))
      if (!each.is_warning) add(each.key, each.text);
  const auto check_file = [&](std::string_view key, const std::string& path) {
    if (path.empty()) return;
    if (const std::string why = why_not_writable(path); !why.empty())
      add(key, fmt::format("\"{}\" cannot be written: {}", path, why));
  };
  check_file("log.file", asked.settings.log.file);
  check_file("processes.pid_file", asked.settings.processes.pid_file);
  for (std::size_t i = 0; i < own.size(); ++i)
    if (const auto* text = std::get_if<std::string>(&asked.own[i]); text != nullptr && own[i].start_check)
      if (const std::string why = own[i].start_check(*text); !why.empty()) add(own[i].name, why);
  check_file("record.file", asked.settings.record.file);
  if (auto problem = process::check_privileges(asked.settings.privileges); !problem.empty())
    wrong.push_back(fmt::format("{}: {}", asked.origin_of(problem.substr(0, problem.find(':'))), problem));
  return wrong;
}

// Errors: config_error.
core_choice validate(const command_line& asked, state_kind keeps, std::span<const key> own) {
  std::vector<std::string> wrong = mistakes(asked, keeps, own);
  core_choice cores;
  try {
    cores = choose_cores(asked.settings, asked.origin_of("cores.use"));
  } catch (const config_error& e) {
    wrong.insert(wrong.end(), e.messages().begin(), e.messages().end());
  }
  if (!wrong.empty()) throw config_error(std::move(wrong));
  return cores;
}

// As many descriptors as the system lets this process have.
void raise_descriptor_limit(std::uint32_t connections) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (limit.rlim_cur < connections)
    log::warning("limits.connections is {}, but this process may open only {} descriptors (ulimit -n)",
                 connections, limit.rlim_cur);
}

// Sets the program's variables. Errors: those of program::prepare.
void adopt(const program& what, const key_values& own) {
  put(what.keys, own);
  if (what.prepare) what.prepare();
}

void prepare_process(const settings& s) {
  log::set_level(s.log.level);
  open_log(s);
  prepare_log_output();
  // sendfile(2) to a peer that has left raises it, and so does a log line to a pipe without a reader.
  static_cast<void>(std::signal(SIGPIPE, SIG_IGN));
  raise_descriptor_limit(s.limits.connections);
}

// Tells the service manager, if it wants to know, that every loop has turned since it was told last.
class watchdog_timer {
 public:
  explicit watchdog_timer(core_pool& loops)
      : pulse_(loops, {}, [this] { turned_ = true; }), timer_(loops[0], [this] { tell(); }) {
    wait();
  }

 private:
  void wait() {
    if (watchdog_.next() == process::watchdog::clock::time_point::max()) return;
    timer_.expires_after(watchdog_.next() - process::watchdog::clock::now());
  }
  void tell() noexcept {
    watchdog_.tell_if_due(turned_.exchange(false));
    pulse_.begin_round();
    wait();
  }

  process::watchdog watchdog_;
  std::atomic<bool> turned_{true};
  loop_pulse pulse_;
  standing_timer timer_;
};

// Looks now and then where the loops run. A thread of its own reads the kernel's files and ends: no loop
// waits for them, and a server of one loop stays a process of one thread.
class placement_timer {
 public:
  placement_timer(server& of, planned_cpu plan, std::chrono::milliseconds interval)
      : interval_(interval), watch_(of.scores(), std::move(plan)), timer_(of.cores()[0], [this] { look(); }) {
    ::sched_getaffinity(0, sizeof allowed_, &allowed_);
    if (interval_.count() > 0) timer_.expires_after(interval_);
  }
  placement_timer(const placement_timer&) = delete;
  placement_timer& operator=(const placement_timer&) = delete;
  ~placement_timer() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  void look() noexcept {
    timer_.expires_after(interval_);
    if (looks_.exchange(true)) return;
    if (thread_.joinable()) thread_.join();  // it has ended
    try {
      thread_ = std::thread([this] { check(); });
      failed_ = false;
    } catch (const std::exception& e) {
      looks_ = false;
      if (!std::exchange(failed_, true))
        log::warning("placement is not looked at until a thread for it can be started: {}", e.what());
    }
  }
  void check() noexcept {
    ::pthread_setname_np(::pthread_self(), "weir placement");
    ::sched_setaffinity(0, sizeof allowed_, &allowed_);  // it was started by a thread that is pinned
    try {
      watch_.check();
    } catch (const std::exception& e) {
      log::warning("placement: {}", e.what());
    }
    looks_ = false;
  }

  std::chrono::milliseconds interval_;
  ::cpu_set_t allowed_{};
  placement_watch watch_;
  std::atomic<bool> looks_{false};
  bool failed_ = false;  // the thread could not be started, and that was logged
  std::thread thread_;
  standing_timer timer_;
};

// The server that `option` asks about. Errors: config_error; std::system_error if none runs.
::pid_t process_of(const command_line& asked, std::string_view option) {
  const std::string& file = asked.settings.processes.pid_file;
  if (asked.pid == 0 && file.empty())
    throw config_error({fmt::format(
        "{}: the server is found by --pid or processes.pid_file, and neither is given", option)});
  return asked.pid != 0 ? asked.pid : process::pid_file::read(file);
}

// What is planned, and what a server that runs makes of it.
std::string plan_of(const command_line& asked, const core_choice& cores) {
  std::string out = describe_plan(asked.settings, allowed_cpus(), read_cgroup_quota(), cores);
  if (!asked.running) return out;
  process::scoreboard board(process_of(asked, "--running"));
  const pool_plan plan = plan_pool(asked.settings, cores);
  return out + describe_running(
                   board, [&](unsigned worker, unsigned loop) { return cpu_of_loop(plan, worker, loop); });
}

// Its peers are nobody else's business.
void write_trace(const command_line& asked) {
  const std::string text = dump::trace_of(process_of(asked, "--recorder"));
  const unique_fd file(
      ::open(asked.trace_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!file) throw_system_error(errno, fmt::format("--recorder {}", asked.trace_file));
  for (std::size_t written = 0; written < text.size();) {
    const ssize_t n = ::write(file.get(), text.data() + written, text.size() - written);
    if (n < 0 && errno != EINTR) throw_system_error(errno, fmt::format("--recorder {}", asked.trace_file));
    if (n > 0) written += static_cast<std::size_t>(n);
  }
}

// Of the server that runs with these settings, found by its pid file. Its memory is read: a server that is
// stuck tells as much. Errors: config_error; std::system_error if none runs.
std::string status_of(const settings& s, bool as_json) {
  if (s.processes.pid_file.empty())
    throw config_error({"--status: the server is found by processes.pid_file, which is not set"});
  process::scoreboard board(process::pid_file::read(s.processes.pid_file));
  return as_json ? admin::status_json(board) : admin::status_table(board);
}

int serve(settings s, const core_choice& cores, service_form form,
          const std::function<settings()>& read_again) {
  const last_resort ends(cut);
  const server_signals signals(s.limits);
  process::pid_file::refuse_if_taken(s.processes.pid_file);
  server serving(s, std::move(form));
  process::drop_privileges(s.privileges);

  end_order obeyed = end_order::none;
  const auto take_limits = [&](const limit_settings& fresh) {
    if (fresh.connections != s.limits.connections) raise_descriptor_limit(fresh.connections);
    serving.take_limits(fresh);
    signals.set_limits(fresh);
  };
  const auto take_certificates = [&](const settings& fresh) {
    if (const auto files = read_tls(fresh)) serving.take_certificates(fresh, *files);
  };
  const auto obey = [&](int number) {
    if (number == SIGHUP && obeyed == end_order::none)
      return reload_live(s, read_again, take_limits, take_certificates);
    if (number == SIGHUP) return;  // what ends is not ready again
    if (number == SIGUSR1) return reopen_log(s);
    const bool leaves = obeyed == end_order::none && server_signals::ordered() == end_order::leave;
    log::info("{}: stopping{}, {} connections open", ::sigabbrev_np(number),
              leaves ? fmt::format(" in {} ms", s.limits.drain_delay.count()) : "", serving.connections());
    process::tell_service_manager("STOPPING=1");
    while (obeyed < server_signals::ordered()) {
      obeyed = static_cast<end_order>(static_cast<int>(obeyed) + 1);
      switch (obeyed) {
        case end_order::leave: serving.stop(); break;
        case end_order::drain: serving.drain(); break;
        default: serving.cut(); break;
      }
    }
  };
  const process::pid_file file(s.processes.pid_file);
  const server_signals::reader reading(signals, serving.cores()[0].context(), obey);

  std::string where;
  for (const endpoint& at : serving.addresses()) where += (where.empty() ? "" : ", ") + at.to_string();
  log::info("listening on {}; {}, {}", where, name_of(s.model), describe_threads(s, cores));
  if (const auto at = serving.admin_address()) log::info("admin listener on {}", *at);
  log_io_choice(s);
  serving.when_serving([] { process::tell_service_manager("READY=1"); });
  watchdog_timer alive(serving.cores());
  const pool_plan plan = plan_pool(s, cores);
  placement_timer places(
      serving, [&plan](unsigned worker, unsigned loop) { return cpu_of_loop(plan, worker, loop); },
      s.cores.check);
  serving.run();
  log::info("stopped after {} connections", serving.accepted());
  return serving.cut_short() ? cut : ok;
}

}  // namespace

int run(int argc, char** argv, service_form form, const program& what) {
  program named = what;
  if (named.name == program{}.name && argc > 0)
    if (const char* const slash = std::strrchr(argv[0], '/'); slash != nullptr || *argv[0] != '\0')
      named.name = slash != nullptr ? slash + 1 : argv[0];
  try {
    open_standard_descriptors();
    const command_line asked = parse_command_line(argc, argv, ::environ, named);
    switch (asked.action) {
      case action::help: return say(stdout, help_text(named)), ok;
      case action::version: return say(stdout, version_text(named)), ok;
      case action::list_models: return say(stdout, list_models()), ok;
      case action::print_config: return say(stdout, print_config(asked.settings, asked.own, named)), ok;
      case action::check:
        return static_cast<void>(validate(asked, form.keeps, named.keys)),
               say(stdout, "the configuration is valid"), ok;
      case action::plan: return say(stdout, plan_of(asked, validate(asked, form.keeps, named.keys))), ok;
      case action::dump: return say(stdout, dump::text_of(process_of(asked, "--dump"), asked.json)), ok;
      case action::recorder: return write_trace(asked), ok;
      case action::status: return say(stdout, status_of(asked.settings, asked.json)), ok;
      case action::compare:
        static_cast<void>(validate(asked, form.keeps, named.keys));
        return run_comparison(
            {named.name, without_comparison(argc, argv), asked.settings, form.keeps, asked.compare});
      case action::run: break;
    }
    const core_choice cores = validate(asked, form.keeps, named.keys);
    adopt(named, asked.own);
    prepare_process(asked.settings);
    if (row_of(asked.settings.model).processes) {
      const auto read_again = [&, keeps = form.keeps, present = asked.own]() mutable {
        const command_line again = parse_command_line(argc, argv, ::environ, named);
        auto plan = plan_pool(again.settings, validate(again, keeps, named.keys));
        try {
          adopt(named, again.own);  // which workers that start from now on inherit
        } catch (...) {
          adopt(named, present);
          throw;
        }
        present = again.own;
        return plan;
      };
      return run_process_pool(plan_pool(asked.settings, cores), read_again, std::move(form), argc, argv);
    }
    refuse_upgrade_to(asked.settings);
    process::go_below_a_reaper();
    // The thread that reads again is pinned, so the choice of cores would be another one.
    const auto read_again = [&, keeps = form.keeps] {
      const command_line again = parse_command_line(argc, argv, ::environ, named);
      if (std::vector<std::string> wrong = mistakes(again, keeps, named.keys); !wrong.empty())
        throw config_error(std::move(wrong));
      // Handlers read the variables meanwhile.
      for (std::size_t i = 0; i < named.keys.size(); ++i)
        if (again.own[i] != asked.own[i])
          log::warning("{} has changed, which needs a restart", named.keys[i].name);
      return again.settings;
    };
    return serve(asked.settings, cores, std::move(form), read_again);
  } catch (const config_error& e) {
    for (const std::string& message : e.messages()) say(stderr, fmt::format("{}: {}", named.name, message));
    return misused;
  } catch (const std::exception& e) {
    say(stderr, fmt::format("{}: {}", named.name, e.what()));
    return failed;
  }
}

}  // namespace weir
