#pragma once
// config: every tunable of weir as one plain value, with its default. `--print-config` prints unit, range and
// purpose of each; runtime/config/tunables.cpp defines them.

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "weir/base/log.hpp"

namespace weir {

// Which thread or process accepts, does the I/O and runs the handler: the rows are in model/model.hpp.
enum class model_kind : std::uint8_t {
  serial,
  thread_per_connection,
  single_loop,
  loop_with_workers,
  loop_per_core,
  process_pool,
  thread_per_event
};

// How a loop does I/O.
enum class io_kind : std::uint8_t {
  epoll,     // when a socket is ready an operation makes its system call (a Reactor)
  io_uring,  // operations are given to the kernel, which completes them (a Proactor)
  automatic  // io_uring where it is to be had, else epoll
};

// How the core or worker of the next connection is chosen: see distribute/detail/policy.hpp.
enum class policy_kind : std::uint8_t {
  round_robin,
  least_connections,
  two_choices,
  random,
  ip_hash,
  kernel,
  compete
};

struct cores_settings {
  std::string use = "auto";  // or CPU numbers, "0-3,8": these CPUs in this order
  bool pin = true;
  std::chrono::milliseconds check{60000};  // how often it is looked where loops run; 0: never
  bool operator==(const cores_settings&) const = default;
};

struct distribute_settings {
  policy_kind policy = policy_kind::least_connections;
  bool pin_incoming = false;  // with policy_kind::kernel: to the loop of the CPU that received the packet
  std::uint32_t seed = 0;     // of the policies that draw at random; 0: a new one at each start
  bool operator==(const distribute_settings&) const = default;
};

// A client that connects while limits.connections are open waits in the kernel's queue, or is closed.
enum class excess_kind : std::uint8_t { wait, refuse };

struct limit_settings {
  std::uint32_t connections = 10000;
  excess_kind excess = excess_kind::wait;
  std::uint32_t connections_per_ip = 0;           // 0: no limit
  std::chrono::milliseconds idle_timeout{60000};  // 0: none
  std::chrono::milliseconds drain_delay{0};       // a server that is to stop serves on so long
  std::chrono::milliseconds drain_timeout{30000};
  std::chrono::milliseconds stall{0};  // a handler that holds its core longer is reported; 0: off
  bool operator==(const limit_settings&) const = default;
};

// Of listeners whose addresses begin with "proxy:".
struct proxy_settings {
  std::vector<std::string> trusted{"127.0.0.0/8", "::1", "unix"};  // balancers that may name a client
  std::chrono::milliseconds timeout{5000};                         // for the header
  bool operator==(const proxy_settings&) const = default;
};

struct socket_settings {
  std::uint32_t backlog = 4096;  // the kernel caps it at net.core.somaxconn
  bool nodelay = true;
  std::uint32_t unix_mode = 0600;
  bool operator==(const socket_settings&) const = default;
};

struct loop_settings {
  std::uint32_t chunk_size = 16384;   // bytes of a receive buffer
  std::uint32_t idle_chunks = 512;    // free buffers that a core keeps: as many as one batch may need
  std::uint32_t inline_budget = 64;   // operations that a coroutine completes before others get their turn
  std::uint32_t polls_per_turn = 16;  // epoll_wait calls before timers and posts get theirs
  std::uint32_t events = 512;         // per epoll_wait
  std::uint32_t ring_buffers =
      128;  // with io_kind::io_uring: receive buffers that the kernel has, a power of two
  std::uint32_t read_ahead =
      8;  // with io_kind::io_uring: buffers of a connection that its handler has not asked for
  bool operator==(const loop_settings&) const = default;
};

// With model_kind::loop_with_workers: the loop reads and writes, before and after a worker runs the handler,
// or the worker does.
enum class worker_io_kind : std::uint8_t { loop, worker };

// Threads beside the loops: for offload(), and for the handlers of the models that have workers.
struct worker_settings {
  std::uint32_t count = 4;
  std::uint32_t queue = 1024;  // jobs that may wait for a thread; a further one is refused
  worker_io_kind io = worker_io_kind::loop;
  std::uint32_t most = 1024;  // threads of the models that start one per connection or per event
  bool operator==(const worker_settings&) const = default;
};

// How the processes of a pool take connections from a listening socket.
enum class accept_kind : std::uint8_t { shared, mutex, reuseport, notify, dispatch };

// Model process-pool: a master and its worker processes.
struct process_settings {
  std::uint32_t count = 0;  // workers; 0: one per core
  accept_kind accept = accept_kind::shared;
  std::uint32_t loops = 1;  // CPUs of each worker: a loop on each, where its model has several
  model_kind model = model_kind::loop_per_core;  // of each worker
  std::vector<model_kind> models = {};  // of worker i: the one at i modulo their number; empty: `model`
  std::chrono::milliseconds start_timeout{
      60000};  // a worker that has not served by then is replaced; 0: never
  std::chrono::milliseconds stuck_timeout{
      30000};  // one that has served, without a heartbeat is replaced; 0: never
  std::uint32_t max_connections_per_worker = 0;  // then it is replaced; 0: never
  std::uint64_t memory_limit = 0;                // resident bytes beyond which it is replaced; 0: none
  std::string pid_file;                          // absolute; empty: none

  // Of the worker at that index.
  [[nodiscard]] model_kind model_of(std::uint32_t index) const noexcept {
    return models.empty() ? model : models[index % models.size()];
  }
  bool operator==(const process_settings&) const = default;
};

// The user and group that the serving processes run as, once their sockets are open. The master of a pool
// keeps its own.
struct privilege_settings {
  std::string user = {};     // empty: unchanged
  std::string group = {};    // empty: that of the user
  bool no_new_privs = true;  // a program that it executes gains no privileges
  bool operator==(const privilege_settings&) const = default;
};

// A listener for operators: metrics, status, readiness.
struct admin_settings {
  std::string address;  // in the forms of listen/endpoint.hpp; empty: none
  std::string token;    // what clients must show; empty: nothing, on addresses of this host alone
  bool operator==(const admin_settings&) const = default;
};

// What a server remembers of its own work.
struct observe_settings {
  std::uint64_t recorder = 0;         // bytes of each loop for its last turns; 0: none
  std::chrono::milliseconds slow{0};  // with a recorder: a request that takes longer is reported; 0: none
  bool operator==(const observe_settings&) const = default;
};

// The oldest version of TLS that is spoken.
enum class tls_version : std::uint8_t { v1_2, v1_3 };

// Whether clients are asked for a certificate.
enum class client_certificate : std::uint8_t { none, ask, require };

// What lies on listeners with "tls:" before their addresses. Paths are absolute.
struct tls_settings {
  std::vector<std::string> certificate = {};  // PEM: one certificate and its chain in each file
  std::vector<std::string> key = {};          // PEM: the key of the certificate in the same place
  tls_version minimum_version = tls_version::v1_2;
  std::string ciphers = {};            // of version 1.2, as OpenSSL writes them; empty: its own choice
  std::string ciphersuites = {};       // of version 1.3; empty: OpenSSL's choice
  std::vector<std::string> alpn = {};  // protocols, the preferred first; empty: none is negotiated
  client_certificate verify = client_certificate::none;
  std::string ca = {};  // PEM: the authorities whose certificates of clients are believed
  bool tickets = true;
  std::chrono::milliseconds ticket_lifetime{std::chrono::hours(1)};
  std::chrono::milliseconds handshake_timeout{10000};
  std::uint32_t handshakes = 256;  // of one loop at a time
  bool offload_keys = false;       // private keys are used on the threads of offload()
  std::string key_log = {};        // empty: none
  bool operator==(const tls_settings&) const = default;
};

struct log_settings {
  weir::log::level level = weir::log::level::info;
  std::string file;         // absolute; empty: standard error
  bool distribute = false;  // a line for each decision of the policy
  bool operator==(const log_settings&) const = default;
};

// A file in which the server writes down what its clients send, and when.
struct record_settings {
  std::string file = {};             // absolute; empty: nothing is recorded
  bool answers = false;              // what clients are sent too
  std::uint64_t size = 268'435'456;  // bytes of the file: 256 MiB
  std::chrono::milliseconds time{std::chrono::hours(1)};
  std::uint32_t share = 100;  // of the connections, in percent
  // Headers of HTTP whose values are not written down.
  std::vector<std::string> redact{"Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"};
  bool tls_plaintext = false;  // of connections over TLS too, which are left out otherwise
  bool operator==(const record_settings&) const = default;
};

// How --compare measures.
struct compare_settings {
  std::uint32_t rounds = 3;                // runs of each model
  std::chrono::milliseconds time{2000};    // of one run
  std::chrono::milliseconds most{180000};  // for all runs: there are fewer rounds, or shorter runs
  // Of the speed of a recording, in percent: open loop. 0: closed loop, a client sends when it has its
  // answer.
  std::uint32_t speed = 0;
  std::string output = {};  // folder of what it writes, absolute; empty: the present one
  bool operator==(const compare_settings&) const = default;
};

// Thread: a value. A server copies it when it is made; later changes do not reach a running server.
struct settings {
  std::vector<std::string> listen{"127.0.0.1:7000"};  // in the forms of listen/endpoint.hpp
  model_kind model = model_kind::loop_per_core;
  io_kind io = io_kind::epoll;
  cores_settings cores;
  distribute_settings distribute;
  limit_settings limits;
  proxy_settings proxy;
  socket_settings socket;
  loop_settings loop;
  worker_settings workers;
  process_settings processes;
  privilege_settings privileges;
  tls_settings tls;
  log_settings log;
  admin_settings admin;
  observe_settings observe;
  record_settings record;
  compare_settings compare;
  bool operator==(const settings&) const = default;
};

}  // namespace weir
