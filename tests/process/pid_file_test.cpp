#include "weir/process/detail/pid_file.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include "output.hpp"

using namespace weir::process;
using Catch::Matchers::Contains;
namespace fs = std::filesystem;

namespace {

struct folder {
  folder() { fs::create_directory(path); }
  ~folder() { fs::remove_all(path); }
  fs::path path = fs::temp_directory_path() / ("weir-pid-test-" + std::to_string(::getpid()));
  std::string file = path / "pid";
};

}  // namespace

TEST_CASE("a pid file names this process while it lives, in the place of an old one") {
  const folder here;
  std::ofstream(here.file) << "77\n";
  {
    const pid_file file(here.file);
    CHECK(pid_file::read(here.file) == ::getpid());
  }
  CHECK_FALSE(fs::exists(here.file));
}

TEST_CASE("the pid file of a process that lives is refused, and that of a dead one is replaced") {
  const folder here;
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const ::pid_t other = ::fork();
  if (other == 0) {
    const pid_file file(here.file);
    // Its own children have no lock that would outlive it.
    if (::fork() == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      static_cast<void>(!::write(ends[1], "y", 1));  // not before it would end with its parent
    }
    for (;;) ::pause();
  }
  char ready = 0;
  REQUIRE(::read(ends[0], &ready, 1) == 1);
  const std::string told = "it belongs to process " + std::to_string(other) + ", which runs";
  CHECK_THROWS_WITH(pid_file(here.file), Contains(told));
  CHECK_THROWS_WITH(pid_file::refuse_if_taken(here.file), Contains(told));
  CHECK(pid_file::read(here.file) == other);
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
  {
    const pid_file file(here.file);
    CHECK(pid_file::read(here.file) == ::getpid());
  }
  CHECK_FALSE(fs::exists(here.file));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("a pid file makes room for that of a new program, and takes its place again") {
  const folder here;
  pid_file file(here.file);
  file.step_aside();
  CHECK_FALSE(fs::exists(here.file));
  CHECK(pid_file::read(here.file + ".old") == ::getpid());
  std::ofstream(here.file) << "77\n";
  file.step_back();
  CHECK(pid_file::read(here.file) == ::getpid());
  CHECK_FALSE(fs::exists(here.file + ".old"));
}

TEST_CASE("a pid file that is another's by now stays, and one that stood aside goes") {
  const folder here;
  {
    pid_file file(here.file);
    file.step_aside();
    std::ofstream(here.file) << "77\n";
  }
  CHECK(pid_file::read(here.file) == 77);
  CHECK_FALSE(fs::exists(here.file + ".old"));
  {
    const pid_file file(here.file);
    std::ofstream(here.file) << "78\n";
  }
  CHECK(pid_file::read(here.file) == 78);
}

TEST_CASE("a pid file that cannot be written or read is an error with its name") {
  const folder here;
  CHECK_THROWS_WITH(pid_file(here.path / "none" / "pid"), Contains("none/pid: No such file"));
  CHECK_THROWS_WITH(pid_file::read(here.file), Contains(here.file));
  std::ofstream(here.file) << "seven\n";
  CHECK_THROWS_WITH(pid_file::read(here.file), Contains("no process id"));
  CHECK_NOTHROW(pid_file(""));
}

TEST_CASE("a pid file that cannot be put in its place leaves nothing behind") {
  const folder here;
  fs::create_directory(here.file);
  CHECK_THROWS_AS(pid_file(here.file), std::system_error);
  CHECK_FALSE(fs::exists(here.file + ".new"));
}

TEST_CASE("a pid file that could not make room is removed by its own name") {
  const folder here;
  fs::create_directories(fs::path(here.file + ".old") / "taken");
  {
    const test::output error(2);
    pid_file file(here.file);
    file.step_aside();
    CHECK(error.has("is not renamed"));
    CHECK(pid_file::read(here.file) == ::getpid());
  }
  CHECK_FALSE(fs::exists(here.file));
}
