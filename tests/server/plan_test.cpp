#include "weir/server/detail/plan.hpp"

#include <catch2/catch.hpp>

using namespace weir;
using Catch::Matchers::Contains;

namespace {

std::string plan(const settings& s, std::vector<int> cpus = {0, 2}) {
  return describe_plan(s, cpu_set::parse("0-3"), cgroup_quota{1.5, "/sys/fs/cgroup/cpu.max"},
                       {std::move(cpus), "because"});
}

}  // namespace

TEST_CASE("the plan tells all that would run where") {
  settings s;
  s.listen = {"127.0.0.1:80", "unix:/run/x.sock", "*:81"};
  CHECK(plan(s) ==
        "model         loop-per-core, as in Netty, memcached, Seastar\n"
        "              accepts: an acceptor loop that distributes, or the kernel\n"
        "              does I/O: the connection's core (epoll)\n"
        "              runs the handler: the connection's core\n"
        "allowed CPUs  0-3\n"
        "cgroup quota  1.50 CPUs (/sys/fs/cgroup/cpu.max)\n"
        "cores         2 (because)\n"
        "              loop 0 bound to CPU 0\n"
        "              loop 1 bound to CPU 2\n"
        "listen        127.0.0.1:80: accepted by loop 0\n"
        "              unix:/run/x.sock: accepted by loop 1\n"
        "              *:81: accepted by loop 0\n"
        "policy        least-connections\n"
        "limits        10000 connections; idle timeout 60s; drain timeout 30s\n");
}

TEST_CASE("with policy kernel every loop accepts for itself") {
  settings s;
  s.distribute.policy = policy_kind::kernel;
  CHECK_THAT(plan(s), Contains("127.0.0.1:7000: a socket per loop, each accepts its own\n"));
  s.distribute.pin_incoming = true;
  CHECK_THAT(plan(s), Contains("each accepts its own, by the CPU that received the packet\n"));
}

TEST_CASE("the plan says what has no effect, no quota, no pinning and no timeout") {
  settings s;
  s.cores.pin = false;
  s.limits.idle_timeout = std::chrono::milliseconds(0);
  s.limits.drain_timeout = std::chrono::milliseconds(1500);
  const auto text = describe_plan(s, cpu_set::parse("0"), {}, {{0}, "because"});
  CHECK_THAT(text, Contains("cgroup quota  none\n"));
  CHECK_THAT(text, Contains("loop 0 on any allowed CPU\n"));
  CHECK_THAT(text, Contains("least-connections, of no effect with one loop\n"));
  CHECK_THAT(text, Contains("idle timeout none; drain timeout 1500ms\n"));
}

TEST_CASE("the plan of a pool tells the CPUs of each worker") {
  settings s;
  s.model = model_kind::process_pool;
  s.processes.count = 3;
  const auto text = plan(s);
  CHECK_THAT(text, Contains("workers       worker 0: loop-per-core, 1 loop on CPU 0\n              worker 1: "
                            "loop-per-core, 1 loop on CPU 2\n"
                            "              worker 2: loop-per-core, 1 loop on CPU 0\n"));
  CHECK_THAT(text, Contains("127.0.0.1:7000: bound by the master, accepted by the workers\n"));
  s.processes.count = 0;
  CHECK_THAT(plan(s, {1, 3}), Contains("worker 1: loop-per-core, 1 loop on CPU 3\n"));
  s.processes.loops = 2;
  CHECK_THAT(plan(s, {0, 1, 2, 3}), Contains("worker 0: loop-per-core, 2 loops on CPU 0-1\n              "
                                             "worker 1: loop-per-core, 2 loops on CPU 2-3\n"));
}

TEST_CASE("the plan tells the model of each worker, and what each of them means") {
  settings s;
  s.model = model_kind::process_pool;
  s.processes.models = {model_kind::loop_with_workers, model_kind::thread_per_connection};
  s.processes.loops = 2;
  s.workers.count = 3;
  const auto text = plan(s, {0, 1, 2, 3});
  CHECK_THAT(text, Contains("worker 0: loop-with-workers, 1 loop on CPU 0 and 3 workers on CPU 0-1\n"));
  CHECK_THAT(text,
             Contains("worker 1: thread-per-connection, 1 thread on CPU 2 and a thread for each connection, "
                      "at most 1024, on CPU 2-3\n"));
  CHECK_THAT(text, Contains("loop-with-workers does I/O: the loop, before and after"));
  CHECK_THAT(text, Contains("thread-per-connection does I/O: the connection's own thread, blocking (epoll)\n"
                            "              runs the handler: the connection's own thread\n"));
  CHECK_THAT(text, Contains("of no effect with one loop"));
  CHECK(plan_pool(s, {{0}, "because"}).settings.processes.count == 2);  // a worker of each model
}

TEST_CASE("the plan tells of the limits that are not there by default") {
  settings s;
  CHECK_THAT(plan(s), !Contains("refused") && !Contains("of one address") && !Contains("reported"));
  s.limits.excess = excess_kind::refuse;
  s.limits.connections_per_ip = 3;
  s.limits.stall = std::chrono::milliseconds(100);
  CHECK_THAT(plan(s), Contains("              a client beyond them is refused\n"
                               "              3 connections of one address\n"
                               "              a handler that holds up its loop for 100ms is reported\n"));
}
