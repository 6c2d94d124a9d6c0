#pragma once
// server: one process that serves: sockets, cores, acceptors and what connects them.

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "weir/accept/detail/accept_thread.hpp"
#include "weir/accept/detail/acceptor.hpp"
#include "weir/admin/detail/listener.hpp"
#include "weir/admin/detail/survey.hpp"
#include "weir/admission/detail/permit_pool.hpp"
#include "weir/config/settings.hpp"
#include "weir/connection/detail/connection_starter.hpp"
#include "weir/connection/detail/proxy_rules.hpp"
#include "weir/core/core_pool.hpp"
#include "weir/core/detail/core_choice.hpp"
#include "weir/core/detail/standing_post.hpp"
#include "weir/core/detail/standing_timer.hpp"
#include "weir/listen/detail/bound_socket.hpp"
#include "weir/process/detail/scoreboard.hpp"
#include "weir/server/service.hpp"
#include "weir/workers/detail/connection_threads.hpp"
#include "weir/workers/detail/worker_pool.hpp"

namespace weir {

// The CPUs that settings.cores means on this machine. Errors: config_error.
[[nodiscard]] core_choice choose_cores(const settings& s, std::string_view origin = "cores.use");

// What a worker process gets from its master, which opened the sockets before the fork.
// Other processes go on serving when this one stops, so a client that has just connected and has sent nothing
// yet is waited for, up to a second.
struct inheritance {
  std::vector<bound_socket> listeners;
  std::vector<int> cpus;                 // a loop on each, in the models that have several
  std::shared_ptr<const tls_files> tls;  // with settings that have a listener with TLS
  accept_kind accept = accept_kind::shared;
  int lock = -1;                                      // with accept_kind::mutex
  std::atomic<std::uint32_t>* connections = nullptr;  // where they are counted, for others to read
  sibling_workers* siblings = nullptr;  // outlives the server; with accept_kind::shared, mutex and reuseport
  // With accept_kind::reuseport: another process shall serve this connection. False: it cannot be sent. Any
  // thread.
  std::function<bool(int fd, socket_layers on_it)> hand_on = {};
  // Where it is counted what this worker does; both outlive the server. Null: in memory of its own.
  process::scoreboard* board = nullptr;
  process::worker_score* score = nullptr;
  std::optional<bound_socket> admin = {};
  std::function<void()> serving = {};  // called once on core 0, when every loop has started to accept
  // Takes parked connections, on any core's thread: when this process stops, and in mode
  // dispatch always, so that any worker may serve what comes next.
  std::function<parking::given(int fd)> give_parked = {};
};

// Runs `handler` for each connection, in the model that the settings name. To embed weir in a program of
// your own; run() in run.hpp is this with a command line and signals.
//
//   weir::server echo_server(settings, echo);
//   echo_server.run();                          // until another thread calls echo_server.stop()
//
// It changes nothing that belongs to the process: signals are the program's, but for SIGURG in the model
// thread-per-connection and with limits.stall. Standard descriptors that are closed are opened on /dev/null.
// Thread: made, run and destroyed by one thread; what is marked "any thread" from anywhere.
class server {
 public:
  // Binds the listening sockets; nothing is accepted before run(). What SIGPIPE does is not changed; the
  // threads of cores block it. Errors: std::system_error and std::invalid_argument that name the address,
  // config_error.
  server(const settings& s, connection_handler handler);
  server(const settings& s, service_form form);
  server(const settings& s, service_form form, inheritance from_master);
  // Not a handler: says how to make one of it.
  template <detail::unwrapped_asio_handler Handler>
  server(const settings& s, Handler) : server(s, service_form{}) {
    static_assert(
        detail::wrapped<Handler>,
        "an asio::awaitable handler is wrapped: `weir::server(settings, weir::asio_handler(handler))`");
  }
  server(const server&) = delete;
  server& operator=(const server&) = delete;
  ~server();

  // Serves until stop(): core 0 on the calling thread, the others on threads of their own. Once.
  // Errors: std::system_error when a core cannot be pinned or a thread not be started; what `start` or `stop`
  // of the service throws.
  void run();

  // Before run(). `f` is called once on core 0, when every service has started and every loop accepts.
  void when_serving(std::function<void()> f) { when_serving_ = std::move(f); }

  // Any thread. Serves on for settings.limits.drain_delay, if that is not zero: new clients are served, and
  // handlers see connection::is_leaving(). Then drain(). Further calls change nothing.
  void stop() noexcept;

  // Any thread. Closes the listeners, tells each handler (connection::is_stopping(); idle ones find the end
  // of their input) and waits for the handlers. After settings.limits.drain_timeout what they wait for is
  // cancelled, and 200 ms later what is left is cut. Then the service is stopped. A stop that waits is
  // cancelled after the drain timeout. Also after stop(), whose delay it ends. Further calls change nothing.
  void drain() noexcept;

  // Any thread. The same, but handlers are not waited for, and a service's stop that waits is cancelled after
  // 200 ms. Also after drain(), which it ends. A further call cancels such a stop at once.
  // run() joins its threads: it does not return before a handler that blocks one of them does. The service of
  // a loop that is blocked is not stopped.
  void cut() noexcept;

  // Core 0's thread. Takes `connections`; `connections_per_ip`, unless it is or becomes 0; `idle_timeout`,
  // for connections that begin from now on; `drain_delay` and `drain_timeout`, for what has not begun.
  // Connections beyond a limit stay.
  void take_limits(const limit_settings& fresh) noexcept;

  // Any thread. New connections are met with the certificates of `files`. Errors: config_error.
  void take_certificates(const settings& fresh, const tls_files& files);

  // After run(): handlers were cancelled, or connections left, because the time for them was over.
  [[nodiscard]] bool cut_short() const noexcept { return cut_short_.load(std::memory_order_relaxed); }

  // Core 0's thread. For a worker process: the service, or this process alone, will be told to drain.
  // `process` ends accepting, and what drains is then what is left; a worker without connections does not
  // wait for the order.
  void leave(departure what) noexcept;

  // Core 0's thread. Serves a connection that another process has accepted; closes it if the server is full.
  void adopt(unique_fd connection, socket_layers on_it = {});
  // Core 0's thread. Accepts one connection of listener `i`, if there is one; in a worker that waits to be
  // told so. False: the connection still waits, because this process has no descriptor or memory for it.
  [[nodiscard]] bool accept_from(std::size_t i);
  // Core 0's thread. `count` connections that were handed on are cared for, and may have come back by
  // adopt().
  void placed(std::uint32_t count);
  // Core 0's thread. A sibling is stopped or stuck: looks whether connections wait that it was woken for.
  void retry_accepting() noexcept;

  // Where it listens: a port 0 has become a port.
  [[nodiscard]] std::vector<endpoint> addresses() const;

  // The core's own work: timers, posts, tasks.
  [[nodiscard]] core_pool& cores() noexcept { return *cores_; }

  // Any thread. Connections now; on each core; those accepted since the start; pauses for want of
  // descriptors.
  [[nodiscard]] std::uint32_t connections() const noexcept;
  [[nodiscard]] std::vector<std::uint32_t> connections_per_core() const;
  [[nodiscard]] std::uint64_t accepted() const noexcept;
  [[nodiscard]] std::uint64_t accept_pauses() const noexcept;
  // Closed at once: beyond limits.connections with limits.excess = "refuse", beyond
  // limits.connections_per_ip, or without a right header of the PROXY protocol where there has to be one.
  [[nodiscard]] std::uint64_t refused() const noexcept;
  // Closed because an error kept them from their core.
  [[nodiscard]] std::uint64_t dropped() const noexcept;
  // Ready for clients: it, or another worker of its pool, accepts and has not been told to stop. Any thread.
  [[nodiscard]] bool is_ready() const noexcept { return board_.is_ready(); }
  [[nodiscard]] process::scoreboard& scores() noexcept { return board_; }
  // Where the admin listener is.
  [[nodiscard]] std::optional<endpoint> admin_address() const;

  // Core 0's thread. Writes down what is not counted where it happens: others read it in the scoreboard.
  void write_figures() noexcept;

  // Wake-ups for a connection that another process has taken.
  [[nodiscard]] std::uint64_t fruitless_accepts() const noexcept;

 private:
  void build(const std::vector<int>& cpus, std::size_t loops);
  void begin_admin();
  void begin_recording();
  void write_listener_figures(observe::figures& to) noexcept;
  void tell_state(process::worker_score::state now) noexcept;
  void add_acceptors(const bound_socket& listener, unsigned at_core);
  acceptor& add_acceptor(const bound_socket& listener, unsigned at_core);
  void watch_handed_over(unsigned at_core);
  task<> take_back_from_held(unsigned at_core);
  std::function<void(accepted_socket)> delivery_from(unsigned at_core, std::uint64_t seed);
  [[nodiscard]] connection_starter& within_share(connection_starter& here);
  std::function<connection_starter&(const peer_address&)> placement_from(unsigned at_core, std::uint64_t seed,
                                                                         bool for_parked);
  // What happens between run() and its end; but for the tasks, on core 0's thread.
  task<> start_service(core* at);
  task<> stop_service(core* at);
  void start_has_failed();
  void fail();
  void services_have_started();
  void begin_accepting();
  void obey();
  void begin_stop();
  void end_accepting();
  void accepting_has_ended();
  void tell_handlers();
  void cut_handlers();
  void wait_until_unused();
  void cancel_steps();
  void stop_services();
  void stop_first_service();
  void tell_handlers_of(std::size_t core) noexcept;
  void begin_stop_of_service(core& at) noexcept;
  void limit_services_to(std::chrono::steady_clock::duration time) noexcept;
  void limit_services();
  void limit_drain();
  void tell_threads();

  // When all else has gone: what handlers have written to line files until their end is in them.
  struct line_flush {
    line_flush() = default;
    line_flush(const line_flush&) = delete;
    line_flush& operator=(const line_flush&) = delete;
    ~line_flush();
  };

  line_flush flushes_;
  settings settings_;
  service_form form_;
  std::unique_ptr<process::scoreboard> own_board_;  // of a server that has no master
  process::scoreboard& board_;
  process::worker_score& score_;
  observe::process_ledger ledger_;
  std::array<std::uint64_t, 9> told_{};  // by write_figures()
  bool counts_live_ = false;             // score_.connections is always right
  bool shares_listeners_ = false;        // with other processes
  std::vector<bound_socket> listeners_;
  std::optional<bound_socket> admin_socket_;
  std::uint64_t seed_;  // of the first acceptor's policy; each further one takes the next
  present_source tls_;
  std::unique_ptr<tap_source> taps_;  // of a server that records
  permit_pool permits_;
  address_limit<peer_address> per_address_;
  proxy_rules proxied_;
  std::deque<connection_starter> starters_;  // one for each core, in their order
  std::deque<acceptor> acceptors_;
  std::deque<accept_thread> accept_threads_;          // of a worker process that shares its listeners
  std::vector<std::vector<acceptor*>> acceptors_of_;  // by core
  std::vector<char> watching_;                        // by core, its thread's: it runs take_back_from_held()
  struct service_state {                              // its core's thread; run() before and after
    chain* step = nullptr;                            // that of a start or a stop, while it waits
    bool runs = false;                                // it has started and has not been stopped
  };
  std::vector<service_state> services_;  // by core
  departure_state leaves_{departure::no};
  std::atomic<bool> drain_delays_{false};
  std::atomic<bool> stops_{false};
  std::atomic<bool> cuts_{false};          // cut() was called, and core 0 has not heard it
  std::atomic<std::size_t> accepting_{0};  // acceptors that have not stopped
  std::atomic<std::size_t> starting_{0};   // cores whose service has not started, or whose acceptors have not
  std::atomic<std::size_t> stopping_{0};   // cores but the first whose service has not stopped
  std::atomic<bool> cut_short_{false};
  std::atomic<bool> is_cut_{false};  // handlers that are left are not waited for
  std::mutex failure_mutex_;
  std::exception_ptr failure_;  // the first one, of a start or stop
  std::chrono::steady_clock::time_point drain_until_{};
  std::chrono::steady_clock::duration time_to_stop_{};  // written before a service is told to stop
  // Core 0's thread.
  bool have_started_ = false;
  bool stop_begun_ = false;
  bool accepting_ends_ = false;
  bool accepting_ended_ = false;
  bool services_stop_ = false;
  bool first_service_stops_ = false;
  bool accept_threads_run_ = false;
  bool waits_for_placed_ = false;
  std::function<void()> when_serving_;
  std::optional<delivery> deliver_;  // what other processes have accepted
  sibling_workers* siblings_ = nullptr;
  std::function<bool(int fd, socket_layers on_it)> hand_on_;  // with accept_kind::reuseport
  std::atomic<std::uint32_t> handed_on_{0};                   // connections that may come back
  log::limiter log_limit_;
  std::atomic<std::uint64_t> pauses_here_{0};
  std::atomic<std::uint64_t> handed_over_{0};
  std::atomic<std::uint64_t> refused_here_{0};
  std::atomic<std::uint64_t> found_nobody_{0};
  std::chrono::milliseconds first_bytes_grace_{0};
  std::optional<admin::listener> admin_;
  std::optional<admin::survey> survey_;  // with an admin listener
  // Last, so that they go first: frames and connections that are left refer to all of the above. The workers
  // outlive the cores whose connections migrate to them, and the offload threads outlive the cores of both.
  std::unique_ptr<offload_pool> offload_;
  std::unique_ptr<worker_pool> workers_;         // in the models that have them
  std::unique_ptr<connection_threads> threads_;  // in model_kind::thread_per_connection
  std::unique_ptr<core_pool> cores_;
  // What an order to end needs. It takes no memory, so that the order is obeyed where there is none.
  struct ending {
    explicit ending(server& s);
    standing_post order;      // obey()
    standing_timer delay;     // drain()
    standing_timer drain;     // limit_drain()
    standing_timer grace;     // cut_handlers()
    standing_timer threads;   // tell_threads()
    standing_timer services;  // limit_services()
    std::chrono::steady_clock::time_point services_until = std::chrono::steady_clock::time_point::max();
    // By core, its thread's: what found no memory is done again.
    std::deque<standing_timer> tell;  // tell_handlers_of()
    std::deque<standing_timer> stop;  // begin_stop_of_service()
  };
  std::optional<ending> ending_;
  std::deque<standing_timer> recording_;  // of each loop
};

}  // namespace weir
