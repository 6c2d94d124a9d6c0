#include "weir/core/detail/machine.hpp"

#include <unistd.h>

#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>

using namespace weir;
namespace fs = std::filesystem;

namespace {

// Files of a kernel that there is not.
class fake_root {
 public:
  fake_root() : path_(fs::temp_directory_path() / ("weir-machine-" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
  }
  fake_root(const fake_root&) = delete;
  fake_root& operator=(const fake_root&) = delete;
  ~fake_root() { fs::remove_all(path_); }
  void put(const std::string& name, const std::string& text) {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name) << text;
  }
  operator std::string() const { return path_.string(); }

 private:
  fs::path path_;
};

}  // namespace

TEST_CASE(
    "CPUs that are online, siblings, times and the CPUs of a thread are read as the kernel writes them") {
  fake_root root;
  root.put("sys/devices/system/cpu/online", "0-2,5\n");
  root.put("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,5\n");
  root.put("proc/stat",
           "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 1 2 3 40 5 6 7 8 100 200\ncpu5 0 0 0 1 0 0 0 0 0 0\nintr 1 2\n");
  root.put("proc/7/task/8/status", "Name:\tx\nCpus_allowed:\t3\nCpus_allowed_list:\t0-1,4\n");
  CHECK(online_cpus(root) == cpu_set::parse("0-2,5"));
  CHECK(smt_siblings(1, root) == cpu_set::parse("1,5"));
  CHECK(smt_siblings(0, root).empty());
  const auto times = cpu_times(root);
  REQUIRE(times.size() == 2);
  CHECK(times.at(0).all == 72);
  CHECK(times.at(0).idle == 45);
  CHECK(times.at(0).softirq == 7);
  CHECK(times.at(5).all == 1);
  CHECK(cpus_of_thread(7, 8, root) == cpu_set::parse("0-1,4"));
  CHECK(!cpus_of_thread(7, 9, root));
}

TEST_CASE("what the real kernel says of this thread is what it is asked for otherwise") {
  CHECK(cpus_of_thread(::getpid(), ::gettid()) == allowed_cpus());
  CHECK(!online_cpus().empty());
  CHECK(cpu_times().size() >= online_cpus().size());
}
