#include "weir/server/detail/comparison.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "weir/admin/detail/places.hpp"
#include "weir/base/error.hpp"
#include "weir/compare/detail/candidates.hpp"
#include "weir/compare/detail/figures.hpp"
#include "weir/compare/detail/load_command.hpp"
#include "weir/compare/detail/load_output.hpp"
#include "weir/compare/detail/player.hpp"
#include "weir/compare/detail/recording.hpp"
#include "weir/compare/detail/started_process.hpp"
#include "weir/core/detail/cpu_set.hpp"
#include "weir/io/detail/completion_driver.hpp"
#include "weir/listen/endpoint.hpp"
#include "weir/process/detail/scoreboard.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;
using namespace compare;
using clock = std::chrono::steady_clock;
using milliseconds = std::chrono::milliseconds;

constexpr auto to_start = 20s;  // for a server
constexpr auto to_end = 5s;
constexpr auto longest_stillness = 5s;  // of a server that clients wait for

double seconds(clock::duration d) { return std::chrono::duration<double>(d).count(); }

double load_average() {
  double out = 0;
  return ::getloadavg(&out, 1) == 1 ? out : 0;
}

// Where the program listens in a comparison: on any port of this host, with the layers of its first address.
std::string place_of(const settings& s) {
  const endpoint first = endpoint::parse(s.listen.front());
  if (first.layers().proxy)
    throw std::runtime_error(fmt::format(
        "--compare: {} waits for a balancer's header; name a listener without \"proxy:\"", s.listen.front()));
  return first.layers().tls ? "tls:127.0.0.1:0" : "127.0.0.1:0";
}

// All of what is measured, one run after another.
class measurement {
 public:
  explicit measurement(const comparison& what)
      : what_(what), place_(recording::is_recording(what.load) ? "127.0.0.1:0" : place_of(what.settings)) {
    const cpu_set allowed = allowed_cpus();
    const std::vector<int> all(allowed.begin(), allowed.end());
    // With few CPUs the load shares them: one of two would make each model a model of one CPU.
    const bool apart = all.size() >= 4;
    server_cpus_.assign(all.begin(), apart ? all.end() - 1 : all.end());
    load_cpus_.assign(apart ? all.end() - 1 : all.begin(), all.end());
    facts_.program = what.program;
    facts_.load = what.load;
    facts_.cpus = all.size();
    facts_.server_cpus = server_cpus_.size();
    facts_.shared_cpus = !apart;
    facts_.busy = load_average();
    if (::utsname here{}; ::uname(&here) == 0) facts_.kernel = here.release;
    if (recording::is_recording(what.load)) read_recording();
    for (candidate& each :
         candidates(what.settings, what.keeps, server_cpus_.size(), io::completion_driver::why_not()))
      all_.push_back({std::move(each), {}});
  }

  int run() {
    const auto began = clock::now();
    for (const measured& each : all_) count_ += each.what.refused.empty() ? 1 : 0;
    if (count_ == 0) throw std::runtime_error("--compare: no model can run");
    // Not after minutes of measuring.
    if (::access(folder().c_str(), W_OK | X_OK) != 0)
      throw_system_error(errno, "compare.output: " + folder());
    plan_rounds();
    for (std::size_t round = 0; round < rounds_; ++round) {
      measure_round(round);
      // What a run takes is known now.
      if (round == 0) {
        const double each = seconds(clock::now() - began);
        const double left = seconds(what_.settings.compare.most) - each;
        rounds_ = std::min(rounds_, 1 + static_cast<std::size_t>(std::max(0.0, left / each)));
      }
    }
    facts_.rounds = rounds_;
    facts_.took = seconds(clock::now() - began);
    return report();
  }

 private:
  void read_recording() {
    const recording::content all = recording::read(what_.load);
    for (const std::string& each : all.problems)
      std::fprintf(stderr, "%s: %s\n", what_.load.c_str(), each.c_str());
    scripts_ = scripts_of(all);
    pace_ = {most_at_once(all), what_.settings.compare.speed};
    facts_.speed = pace_.percent;
    std::fprintf(stderr, "%s: %zu of %zu connections are whole; at most %zu at a time\n", what_.load.c_str(),
                 scripts_.size(), all.conversations.size(), pace_.at_once);
  }

  struct baseline {
    usage used;
    bool known = false;
  };

  // As many rounds, and as long runs, as there is time for.
  void plan_rounds() {
    const auto& c = what_.settings.compare;
    rounds_ = c.rounds;
    time_ = c.time;
    if (scripts_.empty() && !names_time(what_.load)) return;  // the command decides
    constexpr milliseconds around = 400ms;                    // starting and stopping
    const auto runs = static_cast<milliseconds::rep>(count_);
    while (rounds_ > 1 && (time_ + around) * runs * static_cast<milliseconds::rep>(rounds_) > c.most)
      --rounds_;
    if ((time_ + around) * runs > c.most) time_ = std::max<milliseconds>(1000ms, c.most / runs - around);
    if (pace_.percent != 0)
      std::fprintf(stderr,
                   "open loop at %u %% of the recorded speed: each run plays %.1f s of the %.1f s recorded\n",
                   pace_.percent, seconds(time_) * pace_.percent / 100, seconds(length_of(scripts_)));
  }

  // In turns, each round from another one on: what changes on the machine meets all alike.
  void measure_round(std::size_t round) {
    idle_.resize(all_.size());
    for (std::size_t i = 0; i < all_.size(); ++i) {
      const std::size_t which = (i + round) % all_.size();
      measured& each = all_[which];
      if (!each.what.refused.empty() || (round != 0 && each.failed())) continue;
      show_progress(round, each.what.name);
      const auto began = clock::now();
      run_figures f;
      try {
        if (!std::exchange(idle_[which].known, true)) idle_[which].used = without_load(each.what);
        f = measure(each.what, idle_[which].used);
      } catch (const std::exception& e) {
        f.failed = e.what();
      }
      each.runs.push_back(std::move(f));
      spent_ += seconds(clock::now() - began);
      ++done_;
    }
  }

  void show_progress(std::size_t round, std::string_view name) const {
    const std::size_t left = rounds_ * count_ - done_;
    std::fprintf(
        stderr, "round %zu of %zu, %zu of %zu runs, %s left: %.*s\n", round + 1, rounds_, done_ + 1,
        rounds_ * count_,
        done_ == 0 ? "?"
                   : fmt::format("{:.0f} s", spent_ / static_cast<double>(done_) * static_cast<double>(left))
                         .c_str(),
        static_cast<int>(name.size()), name.data());
  }

  std::vector<std::string> arguments_for(const candidate& c) const {
    std::vector<std::string> out = what_.arguments;
    const auto set = [&out](std::string_view key, std::string_view value) {
      out.emplace_back("--set");
      out.push_back(fmt::format("{}={}", key, value));
    };
    for (const auto& [key, value] : c.keys) set(key, value);
    set("listen", place_);
    // A file or socket that the program has now, and what it would do beside serving.
    for (const std::string_view key : {"admin", "processes.pid_file", "log.file", "record.file"})
      set(key, "");
    set("log.level", "info");
    // A model with one loop refuses a list of more CPUs than it uses; the process is bound as a whole.
    set("cores.use", "auto");
    return out;
  }

  static std::uint16_t port_of(started_process& server) {
    constexpr std::string_view said = "listening on ";
    const bool whole = server.read_until(said, to_start) && server.read_until("; ", to_start);
    const std::string& text = server.output();
    const std::size_t at = text.find(said);
    const std::size_t end = whole ? text.find("; ", at) : std::string::npos;
    if (end == std::string::npos)
      throw std::runtime_error(
          fmt::format("it does not serve: {}", text.substr(text.rfind('\n', text.size() - 2) + 1)));
    return endpoint::parse(text.substr(at + said.size(), end - at - said.size())).with_layers({}).port();
  }

  // Every worker is ready: a client of a pool that comes earlier waits for that.
  static void wait_until_ready(process::scoreboard& board) {
    for (const auto until = clock::now() + to_start; !board.is_ready(); ::usleep(1000))
      if (clock::now() > until) throw std::runtime_error("it is not ready");
  }

  static void stop(started_process& server) {
    server.signal(SIGINT);  // what a handler holds up is cut by the second order
    if (const auto until = clock::now() + to_end; !server.read_all(1500ms)) {
      server.signal(SIGINT);
      static_cast<void>(server.read_all(std::chrono::duration_cast<milliseconds>(until - clock::now())));
    }
    server.wait(1s);
  }

  usage without_load(const candidate& c) const {
    started_process server("/proc/self/exe", arguments_for(c), server_cpus_);
    static_cast<void>(port_of(server));
    process::scoreboard board(server.pid());
    wait_until_ready(board);
    stop(server);
    return server.used();
  }

  run_figures measure(const candidate& c, const usage& idle) const {
    started_process server("/proc/self/exe", arguments_for(c), server_cpus_);
    const std::uint16_t port = port_of(server);
    process::scoreboard board(server.pid());
    wait_until_ready(board);
    run_figures out;
    std::optional<double> said;  // clients that were served
    const auto began = clock::now();
    {
      const std::unique_ptr<started_process> load = start_load(port);
      watch(*load, server, port, board, out);
      if (const int code = load->wait(to_end); code != 0)
        throw std::runtime_error(fmt::format("the load ended with {}: {}", code, last_line(load->output())));
      const told t = parse_load_output(load->output());
      out.requests = t.requests;
      out.requests_per_second = t.requests_per_second;
      out.p50_us = t.p50_us;
      out.p99_us = t.p99_us;
      out.p999_us = t.p999_us;
      out.unanswered = t.unanswered.value_or(0);
      out.is_open_loop = pace_.percent != 0;
      said = t.served;
      if (const auto at = load->output().find("different: "); at != std::string::npos && !scripts_.empty())
        out.different = first_line(load->output().substr(at));
    }
    out.seconds = seconds(clock::now() - began);
    read_counts(board, out);
    if (said) out.served = static_cast<std::uint64_t>(*said);
    stop(server);
    out.cpu_us = server.used().cpu_us - idle.cpu_us;
    out.switches = server.used().switches - idle.switches;
    return out;
  }

  std::unique_ptr<started_process> start_load(std::uint16_t port) const {
    if (scripts_.empty())
      return std::make_unique<started_process>(
          "/bin/sh", std::vector<std::string>{"sh", "-c", command_for(what_.load, port, time_)}, load_cpus_);
    return std::make_unique<started_process>(
        [this, port] {
          const std::string text = told_of(play(scripts_, port, pace_, time_));
          std::fwrite(text.data(), 1, text.size(), stdout);
          return 0;
        },
        load_cpus_);
  }

  // Until the load has ended. A client that waits to be accepted whenever it is looked, but for the first and
  // the last time, is starved.
  void watch(started_process& load, started_process& server, std::uint16_t port, process::scoreboard& board,
             run_figures& out) const {
    const auto until = clock::now() + std::max<milliseconds>(what_.settings.compare.most, 10s);
    std::vector<std::uint64_t> waiting;
    stillness still;
    for (bool goes_on = true; goes_on;) {
      goes_on = !load.read_all(150ms);
      if (clock::now() > until) throw std::runtime_error("the load command does not end");
      static_cast<void>(server.read_all(1ms));  // a handler may print
      const footprint now = footprint_of(server.pid());
      out.threads = std::max(out.threads, now.threads);
      out.memory = std::max(out.memory, now.bytes);
      if (!goes_on) break;
      waiting.push_back(waiting_clients(port));
      // A load that waits for these clients would wait for ever.
      if (still.look(clock::now(), now.ticks + bytes_of(board), waiting.back()) > longest_stillness)
        throw std::runtime_error(
            fmt::format("{} clients waited to be accepted, and for {:.0f} s the server did nothing",
                        waiting.back(), seconds(longest_stillness)));
    }
    if (waiting.size() > 2) out.starved = *std::min_element(waiting.begin() + 1, waiting.end() - 1);
  }

  static std::uint64_t bytes_of(process::scoreboard& board) {
    std::uint64_t out = 0;
    for (const admin::place& each : admin::places(board.ledger()))
      out += each[observe::figure::received_bytes] + each[observe::figure::sent_bytes];
    return out;
  }

  static std::string last_line(std::string text) {
    while (text.ends_with('\n')) text.pop_back();
    return text.substr(text.rfind('\n') + 1);
  }

  static std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

  static void read_counts(process::scoreboard& board, run_figures& out) {
    // What is not counted where it happens is written down every 500 ms.
    std::uint64_t requests = 0;
    for (const admin::place& each : admin::places(board.ledger())) {
      out.bytes_in += static_cast<double>(each[observe::figure::received_bytes]);
      out.bytes_out += static_cast<double>(each[observe::figure::sent_bytes]);
      out.served += each[observe::figure::accepted] - each[observe::figure::moved];
      requests += each[observe::figure::requests];
    }
    if (!out.requests && requests != 0) out.requests = static_cast<double>(requests);
    if (!out.requests_per_second && out.requests) out.requests_per_second = *out.requests / out.seconds;
  }

  int report() {
    const advice what = advise(all_, facts_);
    std::string text = table_of(all_) + "\n" + what.text + "\n";
    if (what.best != nullptr) text += fmt::format("\n{}", as_toml(what.best->what));
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);  // whatever becomes of the files
    const std::string json = json_of(all_, facts_, what);
    write(folder() + "/compare.json", json);
    write(folder() + "/compare.html", page_of(json));
    std::fputs(fmt::format("\nwritten: {0}/compare.json and {0}/compare.html\n", folder()).c_str(), stdout);
    return what.best == nullptr ? 1 : 0;
  }

  [[nodiscard]] std::string folder() const {
    return what_.settings.compare.output.empty() ? "." : what_.settings.compare.output;
  }

  static void write(const std::string& file, std::string_view text) {
    std::ofstream to(file, std::ios::binary | std::ios::trunc);
    to << text;
    to.close();
    if (!to) throw_system_error(errno, file);
  }

  const comparison& what_;
  std::vector<script> scripts_;  // of a recording
  pace pace_;
  std::string place_;
  comparison_facts facts_;
  std::vector<int> server_cpus_;
  std::vector<int> load_cpus_;
  std::vector<measured> all_;
  std::vector<baseline> idle_;
  std::size_t count_ = 0;  // of those that can run
  std::size_t rounds_ = 0;
  milliseconds time_{};
  std::size_t done_ = 0;
  double spent_ = 0;
};

}  // namespace

int run_comparison(const comparison& what) {
  if (!recording::is_recording(what.load) && !names_server(what.load))
    throw std::runtime_error(
        "--compare: it is no recording, and a load command must name the server by {address}, or by {host} "
        "and {port}, as in 'wrk -c64 -d{seconds} --latency http://{address}/'");
  return measurement(what).run();
}

std::vector<std::string> without_comparison(int argc, const char* const* argv) {
  std::vector<std::string> out;
  for (int i = 0; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--compare")
      ++i;
    else if (!word.starts_with("--compare="))
      out.emplace_back(word);
  }
  return out;
}

}  // namespace weir
