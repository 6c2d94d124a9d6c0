#include "worker_process.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/process/detail/worker_siblings.hpp"
#include "weir/server/detail/log_file.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;
using process::message;
using received = process::descriptor_channel::received;

// Tells the master that every loop of this worker turns, and what it has done.
// Thread: core 0's.
class heartbeat {
 public:
  heartbeat(server& of, const settings& s, const process::worker_slot& slot)
      : of_(of),
        siblings_(slot.board, slot.score, &process::worker_score::load),
        score_(slot.score),
        to_master_(slot.to_master),
        timer_(of.cores()[0].context()),
        requests_of_(of.cores().size()) {
    const auto stuck = s.processes.stuck_timeout;
    interval_ = stuck.count() == 0 ? 1000ms : std::clamp(stuck / 8, 1ms, 1000ms);
    memory_limit_ = s.processes.memory_limit;
    // Workers that were started together must not all leave together.
    if (const std::uint64_t most = s.processes.max_connections_per_worker; most != 0)
      most_ = most - most / 10 + std::random_device()() % (most / 5 + 1);
    counts_live_ = s.processes.accept == accept_kind::notify || s.processes.accept == accept_kind::dispatch ||
                   s.processes.accept == accept_kind::reuseport;
  }

  void beat() {
    tell();
    // What the kernel has woken it for may be waiting for any of the others.
    if (siblings_.any_passed_over()) of_.retry_accepting();
    if (!leaving_ && is_used_up()) {
      leaving_ = true;
      to_master_.send({message::kind::leaving, 0});
    }
    if (turning_.load() == 0) {
      turning_ = of_.cores().size();
      for (core& c : of_.cores())
        c.post([this, &c] {
          requests_of_[c.index()].store(c.requests(), std::memory_order_relaxed);
          if (turning_.fetch_sub(1) == 1) score_.beats.fetch_add(1, std::memory_order_relaxed);
        });
    }
    timer_.expires_after(interval_);
    timer_.async_wait([this](error_code ec) {
      if (!ec) beat();
    });
  }

  void tell() noexcept {
    if (!counts_live_) score_.connections.store(of_.connections(), std::memory_order_relaxed);
    score_.accepted.store(of_.accepted(), std::memory_order_relaxed);
    std::uint64_t requests = 0;
    for (const auto& each : requests_of_) requests += each.load(std::memory_order_relaxed);
    score_.requests.store(requests, std::memory_order_relaxed);
    score_.refused.store(of_.refused(), std::memory_order_relaxed);
    score_.fruitless.store(of_.fruitless_accepts(), std::memory_order_relaxed);
  }

 private:
  bool is_used_up() const {
    if (of_.accepted() >= most_) {
      log::info("this worker leaves after {} connections (processes.max_connections_per_worker)",
                of_.accepted());
      return true;
    }
    if (memory_limit_ == 0) return false;
    std::uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages >> pages;  // the second figure is what is resident
    const auto bytes = pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    if (bytes <= memory_limit_) return false;
    log::warning("this worker leaves: {} bytes are resident (processes.memory_limit)", bytes);
    return true;
  }

  server& of_;
  process::worker_siblings siblings_;
  process::worker_score& score_;
  process::descriptor_channel& to_master_;
  asio::steady_timer timer_;
  std::chrono::milliseconds interval_;
  bool counts_live_;
  bool leaving_ = false;
  std::uint64_t most_ = UINT64_MAX;  // connections
  std::uint64_t memory_limit_;
  std::atomic<std::size_t> turning_{0};                  // loops that have not turned since the last beat
  std::vector<std::atomic<std::uint64_t>> requests_of_;  // each loop
};

// The worker's end of the channel, in core 0's loop. Thread: core 0's.
class master_link {
 public:
  master_link(server& of, process::descriptor_channel& channel, process::worker_score& score)
      : of_(of), channel_(channel), score_(score), in_asio_(of.cores()[0].context(), channel.get()) {}
  master_link(const master_link&) = delete;
  master_link& operator=(const master_link&) = delete;
  ~master_link() { in_asio_.release(); }

  void listen() {
    in_asio_.async_wait(asio::posix::stream_descriptor::wait_read, [this](error_code ec) {
      if (!ec && take_all()) listen();
    });
  }

 private:
  // False at the end of the channel: the master has gone, and this process is about to.
  bool take_all() {
    std::optional<std::uint32_t> taken;
    for (;;) {
      received got = channel_.receive();
      if (got.what != received::kind::taken && taken) channel_.send({message::kind::taken, *taken});
      if (got.what == received::kind::nothing) return true;
      if (got.what == received::kind::end) return false;
      if (got.what == received::kind::rejected) {
        score_.coming.fetch_sub(1);  // a connection without its descriptor: there was none free
        continue;
      }
      switch (got.content.what) {
        case message::kind::connection:
          if (got.fd) of_.adopt(std::move(got.fd));
          taken = got.content.number;
          score_.coming.fetch_sub(1);  // it counts as one of this worker's by now
          break;
        case message::kind::notice:
          of_.accept_from(got.content.number, [&channel = channel_, number = got.content.number] {
            channel.send({message::kind::answered, number});
          });
          break;
        case message::kind::placed: of_.placed(); break;
        case message::kind::drain: of_.stop(); break;
        default: break;
      }
    }
  }

  server& of_;
  process::descriptor_channel& channel_;
  process::worker_score& score_;
  asio::posix::stream_descriptor in_asio_;
};

}  // namespace

int run_worker(const settings& s, process::worker_slot slot, server& serving) {
  asio::signal_set signals(serving.cores()[0].context(), SIGTERM, SIGINT, SIGQUIT);
  signals.add(SIGUSR1);
  std::function<void(error_code, int)> on_signal = [&](error_code ec, int number) {
    if (ec) return;
    if (number == SIGUSR1) {
      open_log(s);
    } else {
      log::info("worker {}: SIG{}, {} connections open", slot.index, ::sigabbrev_np(number),
                serving.connections());
      // Connections may be on their way: the master sends no more, and then says so.
      if (number == SIGQUIT)
        slot.to_master.send({message::kind::leaving, 0});
      else
        for (int i = 0; i < 2; ++i) serving.stop();
    }
    signals.async_wait(std::ref(on_signal));
  };
  signals.async_wait(std::ref(on_signal));
  // Meant for the master, even when a terminal sends them to all of a group.
  for (const int number : {SIGHUP, SIGWINCH, SIGTTIN, SIGTTOU, SIGUSR2})
    static_cast<void>(std::signal(number, SIG_IGN));
  slot.signals.unblock();
  const process::obeyed_signals obeyed{SIGTERM, SIGINT, SIGQUIT, SIGUSR1};

  heartbeat pulse(serving, s, slot);
  master_link link(serving, slot.to_master, slot.score);
  serving.cores()[0].post([&] {
    pulse.beat();
    link.listen();
  });
  serving.run();
  pulse.tell();
  return 0;
}

}  // namespace weir
