#include "weir/core/detail/cgroup_quota.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

using namespace weir;

namespace {

// A file system root with nothing in it but what a test puts there.
struct root {
  std::string path = "/tmp/weir-cgroup-XXXXXX";
  root() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  root(const root&) = delete;
  root& operator=(const root&) = delete;
  ~root() { std::filesystem::remove_all(path); }

  void file(const std::string& name, const std::string& text) const {
    const std::filesystem::path full = path + "/" + name;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text << "\n";
  }
  void version2(const std::string& group, const std::string& mounted = "/") const {
    file("proc/self/cgroup", "0::" + group);
    file("proc/self/mountinfo",
         "30 23 0:26 " + mounted + " /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate");
  }
};

}  // namespace

TEST_CASE("the quota of this process's own group is found") {
  const root here;
  here.version2("/app.slice/echo.service");
  here.file("sys/fs/cgroup/app.slice/echo.service/cpu.max", "150000 100000");
  const auto quota = read_cgroup_quota(here.path);
  REQUIRE(quota);
  CHECK(quota->cpus == 1.5);
  CHECK(quota->file == here.path + "/sys/fs/cgroup/app.slice/echo.service/cpu.max");
}

TEST_CASE("the smallest quota on the way to the root wins") {
  const root here;
  here.version2("/a/b/c");
  here.file("sys/fs/cgroup/a/b/c/cpu.max", "400000 100000");
  here.file("sys/fs/cgroup/a/b/cpu.max", "max 100000");
  here.file("sys/fs/cgroup/a/cpu.max", "100000 50000");
  const auto quota = read_cgroup_quota(here.path);
  REQUIRE(quota);
  CHECK(quota->cpus == 2);
  CHECK(quota->file == here.path + "/sys/fs/cgroup/a/cpu.max");
}

TEST_CASE("the mount point itself is asked: in a container it is a group") {
  const root here;
  here.version2("/");
  here.file("sys/fs/cgroup/cpu.max", "50000 100000");
  CHECK(read_cgroup_quota(here.path)->cpus == 0.5);
}

TEST_CASE("a group is looked for below the group that is mounted") {
  const root here;
  here.version2("/docker/abc/worker", "/docker/abc");
  here.file("sys/fs/cgroup/worker/cpu.max", "300000 100000");
  CHECK(read_cgroup_quota(here.path)->cpus == 3);
}

TEST_CASE("for a group outside of what is mounted the mount point answers") {
  const root here;
  here.file("sys/fs/cgroup/cpu.max", "200000 100000");
  here.file("cpu.max", "100000 100000");
  here.file("sys/fs/cgroup/d/cpu.max", "100000 100000");  // "abcd" is not "d" below "abc"
  for (const auto& [group, mounted] :
       {std::pair("/../../other", "/"), std::pair("/docker/abcd", "/docker/abc")}) {
    here.version2(group, mounted);
    REQUIRE(read_cgroup_quota(here.path));
    CHECK(read_cgroup_quota(here.path)->cpus == 2);
  }
}

TEST_CASE("version 1 tells quota and period in two files") {
  const root here;
  here.file("proc/self/cgroup", "5:cpuset:/\n2:cpu,cpuacct:/box\n0::/");
  here.file("proc/self/mountinfo",
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
            "32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
            "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct");
  here.file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1");
  here.file("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000");
  CHECK_FALSE(read_cgroup_quota(here.path));
  here.file("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us", "250000");
  here.file("sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us", "100000");
  const auto quota = read_cgroup_quota(here.path);
  REQUIRE(quota);
  CHECK(quota->cpus == 2.5);
  CHECK(quota->file == here.path + "/sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us");
}

TEST_CASE("no quota, no files and nonsense limit nothing") {
  const root here;
  CHECK_FALSE(read_cgroup_quota(here.path));
  here.version2("/a");
  CHECK_FALSE(read_cgroup_quota(here.path));
  for (const auto* text : {"max 100000", "", "zebra", "100000", "0 100000", "100000 0"}) {
    here.file("sys/fs/cgroup/a/cpu.max", text);
    CHECK_FALSE(read_cgroup_quota(here.path));
  }
}

TEST_CASE("the real root can be asked") { CHECK_NOTHROW(read_cgroup_quota()); }
