#include "worker_process.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "weir/base/detail/handler_memory.hpp"
#include "weir/base/error.hpp"
#include "weir/base/log.hpp"
#include "weir/core/detail/standing_post.hpp"
#include "weir/core/detail/standing_timer.hpp"
#include "weir/process/detail/worker_siblings.hpp"
#include "weir/server/detail/log_file.hpp"
#include "weir/server/detail/loop_pulse.hpp"

namespace weir {
namespace {

using namespace std::chrono_literals;
using process::message;
using received = process::descriptor_channel::received;

// Tells the master that every loop of this worker turns, and what the worker has done.
// Thread: core 0's.
class heartbeat {
 public:
  heartbeat(server& of, const settings& s, const process::worker_slot& slot, master_mailbox& to_master)
      : of_(of),
        siblings_(slot.board, slot.score, &process::worker_score::load),
        score_(slot.score),
        to_master_(to_master),
        timer_(of.cores()[0], [this] { beat(); }),
        pulse_(of.cores(), {}, [this] { score_.beats.fetch_add(1, std::memory_order_relaxed); }) {
    const auto stuck = s.processes.stuck_timeout;
    interval_ = stuck.count() == 0 ? 1000ms : std::clamp(stuck / 8, 1ms, 1000ms);
    memory_limit_ = s.processes.memory_limit;
    // Workers that were started together should not all leave together.
    if (const std::uint64_t most = s.processes.max_connections_per_worker; most != 0)
      most_ = most - most / 10 + std::random_device()() % (most / 5 + 1);
  }

  void beat() noexcept {
    timer_.expires_after(interval_);
    of_.write_figures();
    // What the kernel has woken it for may be waiting for any of the others.
    if (siblings_.any_passed_over()) of_.retry_accepting();
    try {
      if (!leaving_ && is_used_up()) {
        to_master_.send({message::kind::leaving, 0});
        leaving_ = true;
      }
    } catch (const std::bad_alloc&) {  // it is looked at again at the next beat
    }
    pulse_.begin_round();
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
  master_mailbox& to_master_;
  standing_timer timer_;
  std::chrono::milliseconds interval_;
  bool leaving_ = false;
  std::uint64_t most_ = UINT64_MAX;  // connections
  std::uint64_t memory_limit_;
  loop_pulse pulse_;
};

// The worker's end of the channel, in core 0's loop. Thread: core 0's.
class master_link {
 public:
  master_link(server& of, const settings& s, const process::worker_slot& slot, master_mailbox& to_master)
      : of_(of),
        is_cut_by_signal_(s.limits.drain_delay.count() == 0),
        channel_(slot.to_master),
        score_(slot.score),
        to_master_(to_master),
        in_asio_(of.cores()[0].context(), slot.to_master.get()),
        pause_(of.cores()[0], [this] { listen(); }),
        room_pause_(of.cores()[0], [this] { flush(); }),
        answer_(of.cores()[0], [this] { to_master_.send({message::kind::turns, 0}); }),
        turns_(of.cores(), {}, [this] { answer_.post(); }) {
    to_master_.when_kept([this] { wait_for_room(); });
  }
  master_link(const master_link&) = delete;
  master_link& operator=(const master_link&) = delete;
  ~master_link() {
    to_master_.when_kept({});
    in_asio_.release();
  }

  void listen() {
    in_asio_.async_wait(asio::posix::stream_descriptor::wait_read, kept_in(memory_, [this](error_code ec) {
                          if (!ec) read();
                        }));
  }

 private:
  void read() {
    switch (take_all()) {
      case received::kind::end:
        return;  // the master has gone, or has no descriptor for this channel any more
      case received::kind::failed: return pause_.expires_after(shortage_pause);
      default: return listen();
    }
  }

  // Why there is nothing more to read.
  received::kind take_all() {
    std::uint32_t taken = 0;  // the newest of those that are not acknowledged
    bool any = false;
    const auto acknowledge = [&] {
      if (std::exchange(any, false)) to_master_.send({message::kind::taken, taken});
    };
    for (;;) {
      received got = channel_.receive();
      switch (got.what) {
        case received::kind::rejected: continue;
        case received::kind::without_descriptor:
          acknowledge();  // an acknowledgement speaks for all earlier connections, and not for this one
          score_.coming.fetch_sub(1);
          to_master_.send({message::kind::refused, got.content.number});
          continue;
        case received::kind::taken: break;
        default: acknowledge(); return got.what;
      }
      switch (got.content.what) {
        case message::kind::connection:
          taken = got.content.number;
          any = true;
          to_master_.has_received(taken);
          if (got.fd) of_.adopt(std::move(got.fd), got.content.layers);
          score_.coming.fetch_sub(1);  // it counts as one of this worker's by now
          break;
        case message::kind::notice:
          to_master_.send(
              {of_.accept_from(got.content.number) ? message::kind::answered : message::kind::unable,
               got.content.number});
          break;
        case message::kind::placed: of_.placed(got.content.number); break;
        case message::kind::ask: turns_.begin_round(); break;
        case message::kind::look_again: of_.retry_accepting(); break;
        case message::kind::service_leaves: of_.leave(departure::service); break;
        case message::kind::retire: of_.leave(departure::process); break;
        case message::kind::drain:
          of_.leave(got.content.number != 0 ? departure::service : departure::process);
          of_.drain();
          break;
        case message::kind::cut:
          if (!is_cut_by_signal_) of_.cut();  // the signal that comes with it says nothing then
          break;
        default: break;
      }
    }
  }

  void wait_for_room() {
    if (std::exchange(waits_for_room_, true)) return;
    in_asio_.async_wait(asio::posix::stream_descriptor::wait_write, kept_in(memory_, [this](error_code ec) {
                          if (!ec) flush();
                        }));
  }

  void flush() {
    waits_for_room_ = false;
    if (to_master_.flush()) return;
    // The channel is writable and still takes nothing: the kernel is short of something else.
    waits_for_room_ = true;
    room_pause_.expires_after(shortage_pause);
  }

  static constexpr auto shortage_pause = 50ms;

  server& of_;
  bool is_cut_by_signal_;
  process::descriptor_channel& channel_;
  process::worker_score& score_;
  master_mailbox& to_master_;
  handler_memory<2> memory_;  // one waits to read, one for room
  asio::posix::stream_descriptor in_asio_;
  standing_timer pause_;
  standing_timer room_pause_;
  bool waits_for_room_ = false;
  standing_post answer_;
  loop_pulse turns_;  // since the master asked, which asks again only when it has the answer
};

}  // namespace

master_mailbox::sent master_mailbox::send(const process::message& m) {
  const sent how = kept_.send(channel_, m);
  keeps_ = !kept_.empty();
  if (how == sent::full && when_kept_) when_kept_();
  return how;
}

master_mailbox::sent master_mailbox::give(int fd) noexcept {
  // It must not overtake a message about its own connection.
  if (keeps_) return sent::full;
  return channel_.send({message::kind::parked, received_}, fd);
}

// It has no number that an acknowledgement could speak for, so it may overtake what is kept.
master_mailbox::sent master_mailbox::hand_on(int fd, socket_layers on_it) noexcept {
  return channel_.send({message::kind::connection, 0, on_it}, fd);
}

// The number travels with each parked connection: if this process dies before its acknowledgement is sent,
// the master must not pass a connection to another worker that it has got back as parked.
void master_mailbox::has_received(std::uint32_t number) noexcept {
  if (!keeps_) received_ = number;
}

bool master_mailbox::flush() noexcept {
  const bool done = kept_.flush(channel_);
  keeps_ = !done;
  return done;
}

void master_mailbox::flush_at_end() noexcept {
  while (!flush()) {
    ::pollfd room{channel_.get(), POLLOUT, 0};
    if (::poll(&room, 1, -1) < 0 && errno != EINTR) return;
    if ((room.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) return;
  }
}

int run_worker(const settings& s, process::worker_slot slot, server& serving, master_mailbox& to_master) {
  handler_memory<> memory;
  asio::signal_set signals(serving.cores()[0].context(), SIGTERM, SIGINT, SIGQUIT);
  signals.add(SIGUSR1);
  std::function<void(error_code, int)> on_signal = [&](error_code ec, int number) {
    if (ec) return;
    signals.async_wait(kept_in(memory, std::ref(on_signal)));  // first: what follows may fail
    if (number == SIGUSR1) {
      reopen_log(s);
    } else {
      log::info("worker {}: SIG{}, {} connections open", slot.index, ::sigabbrev_np(number),
                serving.connections());
      // Connections may be on their way: the master sends no more, and then a drain message. A master that
      // cannot be reached sends neither. With a delay SIGTERM, which a service manager may send to all
      // processes, is no order to cut: the master sends that as a message.
      if (number != SIGQUIT && s.limits.drain_delay.count() == 0)
        serving.cut();
      else if (to_master.send({message::kind::leaving, 0}) == master_mailbox::sent::gone)
        serving.drain();
    }
  };
  signals.async_wait(kept_in(memory, std::ref(on_signal)));
  // Meant for the master, although a terminal sends them to all processes of a group.
  for (const int number : {SIGHUP, SIGWINCH, SIGTTIN, SIGTTOU, SIGUSR2})
    static_cast<void>(std::signal(number, SIG_IGN));
  slot.signals.unblock();
  const process::obeyed_signals obeyed{SIGTERM, SIGINT, SIGQUIT, SIGUSR1};

  heartbeat pulse(serving, s, slot, to_master);
  master_link link(serving, s, slot, to_master);
  serving.cores()[0].post([&] {
    pulse.beat();
    link.listen();
  });
  try {
    serving.run();
  } catch (...) {
    to_master.flush_at_end();
    throw;
  }
  to_master.flush_at_end();
  return serving.cut_short() ? process::exit_connections_cut : 0;
}

}  // namespace weir
