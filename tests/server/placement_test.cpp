#include "weir/server/detail/placement.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/log.hpp"

using namespace weir;
namespace fs = std::filesystem;
using Catch::Matchers::Contains;

namespace {

// Two loops on two physical cores with two siblings each: CPUs 0 and 2, and 1 and 3.
placement as_planned() {
  placement out;
  out.loops = {{0, 0, 10, 10, 0}, {1, 0, 20, 20, 1}};
  out.runs_on = {cpu_set::parse("0"), cpu_set::parse("1")};
  out.online = cpu_set::parse("0-3");
  for (const auto& [cpu, with] : {std::pair{0, "0,2"}, {1, "1,3"}, {2, "0,2"}, {3, "1,3"}})
    out.siblings.emplace(cpu, cpu_set::parse(with));
  return out;
}

std::vector<std::string> texts(const placement& now, const std::map<int, cpu_time>& since = {},
                               const std::vector<drift>& present = {}) {
  std::vector<std::string> out;
  for (const drift& each : drifts_of(now, since, {}, present)) out.push_back(each.text);
  return out;
}

using list = std::vector<std::string>;

}  // namespace

TEST_CASE("loops on their CPUs are no drift, nor is what the plan itself shares") {
  CHECK(texts(as_planned()).empty());
  placement more = as_planned();
  more.loops.push_back({2, 0, 30, 30, 1});  // three workers on two CPUs
  more.runs_on.push_back(cpu_set::parse("1"));
  more.loops.push_back({3, 0, 40, 40, 2});  // and a sibling
  more.runs_on.push_back(cpu_set::parse("2"));
  CHECK(texts(more).empty());
}

TEST_CASE("a thread that was moved, or has ended, and one that was never pinned") {
  placement now = as_planned();
  now.runs_on[1] = cpu_set::parse("0-3");
  CHECK(texts(now) == list{"loop 0 of worker 1 (thread 20) runs on CPUs 0-3 instead of CPU 1"});
  now.runs_on[1] = std::nullopt;
  CHECK(texts(now).empty());
  now.runs_on[1] = cpu_set::parse("0-3");
  now.loops[1].planned = std::nullopt;
  CHECK(texts(now).empty());
}

TEST_CASE("a CPU that is offline is named rather than the mask that the kernel made instead") {
  placement now = as_planned();
  now.online = cpu_set::parse("0,2-3");
  now.runs_on[1] = cpu_set::parse("0,2-3");
  CHECK(texts(now) == list{"CPU 1 of loop 0 of worker 1 is offline; its thread 20 runs on CPUs 0,2-3"});
}

TEST_CASE("two loops on one CPU, and on siblings, although other cores were planned") {
  placement now = as_planned();
  now.runs_on[1] = cpu_set::parse("0");
  CHECK(texts(now) == list{"loop 0 of worker 1 (thread 20) runs on CPU 0 instead of CPU 1",
                           "loop 0 of worker 0 and loop 0 of worker 1 share CPU 0"});
  now.runs_on[1] = cpu_set::parse("2");
  CHECK(texts(now) == list{"loop 0 of worker 1 (thread 20) runs on CPU 2 instead of CPU 1",
                           "loop 0 of worker 0 and loop 0 of worker 1 share a physical core: CPUs 0 and 2"});
}

TEST_CASE("a quota that has changed since the start") {
  placement now = as_planned();
  now.quota = cgroup_quota{1.5, "cpu.max"};
  CHECK(texts(now) == list{"the cgroup grants 1.50 CPUs to 2 loops; at the start it was no limit"});
}

TEST_CASE("soft interrupts of a busy CPU, until they are clearly fewer") {
  placement now = as_planned();
  const std::map<int, cpu_time> since{{1, {1000, 500, 100}}};
  const auto later = [&](std::uint64_t idle, std::uint64_t softirq, std::uint64_t all = 1000) {
    now.times[1] = {1000 + all, 500 + idle, 100 + softirq};
  };
  later(100, 300);
  CHECK(texts(now, since) == list{"CPU 1 of loop 0 of worker 1 spends 30 % of its time in soft interrupts"});
  later(600, 300);  // it has time for both
  CHECK(texts(now, since).empty());
  later(100, 200);
  CHECK(texts(now, since).empty());
  const std::vector<drift> present{{"softirq 1", "as it was"}};
  CHECK(texts(now, since, present).size() == 1);
  later(100, 100);
  CHECK(texts(now, since, present).empty());
  later(0, 100, 100);  // so short a time says nothing new
  CHECK(texts(now, since).empty());
  CHECK(texts(now, since, present) == list{"as it was"});
}

TEST_CASE("each change is one line of the log, however often it is looked, and a figure") {
  const fs::path root = fs::temp_directory_path() / ("weir-placement-" + std::to_string(::getpid()));
  const auto put = [&](const std::string& name, const std::string& text) {
    fs::create_directories((root / name).parent_path());
    std::ofstream(root / name) << text;
  };
  put("sys/devices/system/cpu/online", "0-1\n");
  put("proc/123/task/456/status", "Cpus_allowed_list:\t1\n");
  std::vector<std::string> said;
  log::to_sink([&](log::level, std::string_view text) { said.emplace_back(text); });
  {
    process::scoreboard board;
    process::worker_score& row = *board.take();
    row.pid = 123;
    observe::process_ledger ledger = board.ledger_of(row);
    (*ledger.loop(0).counted)[observe::figure::thread].set(456);
    placement_watch watch(board, [](unsigned, unsigned) { return 1; }, root.string());
    watch.check();
    CHECK(said.empty());
    put("proc/123/task/456/status", "Cpus_allowed_list:\t0-1\n");
    for (int i = 0; i < 3; ++i) watch.check();
    REQUIRE(said.size() == 1);
    CHECK(said[0] == "placement: loop 0 of worker 0 (thread 456) runs on CPUs 0-1 instead of CPU 1");
    CHECK(board.pool().placement_drifts == 1);
    CHECK_THAT(describe_running(
                   board, [](unsigned, unsigned) { return 1; }, root.string()),
               Contains("loop 0 of worker 0: thread 456 on CPUs 0-1, which is not planned") &&
                   Contains("drift         loop 0 of worker 0 (thread 456) runs on CPUs 0-1"));
    put("proc/123/task/456/status", "Cpus_allowed_list:\t1\n");
    for (int i = 0; i < 3; ++i) watch.check();
    REQUIRE(said.size() == 2);
    CHECK_THAT(said[1], Contains("no longer: loop 0 of worker 0"));
    CHECK(board.pool().placement_drifts == 0);
    CHECK(board.pool().placement_changes == 2);
    CHECK_THAT(describe_running(
                   board, [](unsigned, unsigned) { return 1; }, root.string()),
               Contains("thread 456 on CPU 1, as planned") && Contains("drift         none"));
  }
  log::to_sink({});
  fs::remove_all(root);
}
