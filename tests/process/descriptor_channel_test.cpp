#include "weir/process/detail/descriptor_channel.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <cstring>
#include <filesystem>
#include <vector>

using namespace weir;
using namespace weir::process;
using kind = descriptor_channel::received::kind;

namespace {

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

const message sample{message::kind::serving, 4711};

// What no channel sends: any bytes with any control messages.
void send_raw(const descriptor_channel& to, std::size_t size, const std::vector<int>& fds,
              int type = SCM_RIGHTS) {
  char bytes[64] = {};
  std::memcpy(bytes, &sample, sizeof sample);
  iovec piece{bytes, size};
  std::vector<char> control(CMSG_SPACE(sizeof(int) * fds.size()));
  msghdr header{};
  header.msg_iov = &piece;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    auto* const with = CMSG_FIRSTHDR(&header);
    with->cmsg_level = SOL_SOCKET;
    with->cmsg_type = type;
    with->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    std::memcpy(CMSG_DATA(with), fds.data(), sizeof(int) * fds.size());
  }
  REQUIRE(::sendmsg(to.get(), &header, 0) == static_cast<ssize_t>(size));
}

}  // namespace

TEST_CASE("a message arrives as it was sent, and after the last one comes the end") {
  auto ends = descriptor_channel::make();
  CHECK(ends.second.receive().what == kind::nothing);
  CHECK(ends.first.send(sample) == descriptor_channel::sent::yes);
  ends.first.close();
  const auto got = ends.second.receive();
  CHECK(got.what == kind::taken);
  CHECK(got.content.number == 4711);
  CHECK_FALSE(got.fd);
  CHECK(ends.second.receive().what == kind::end);
  CHECK(ends.second.send(sample) == descriptor_channel::sent::gone);
}

TEST_CASE("one descriptor comes through, close-on-exec, as another name for the same open file") {
  auto ends = descriptor_channel::make();
  const auto before = open_descriptors();
  {
    const unique_fd file(::open("/dev/null", O_RDONLY));
    CHECK(ends.first.send(sample, file.get()) == descriptor_channel::sent::yes);
    const auto got = ends.second.receive();
    REQUIRE(got.what == kind::taken);
    REQUIRE(got.fd);
    CHECK((::fcntl(got.fd.get(), F_GETFD) & FD_CLOEXEC) != 0);
    struct stat mine{};
    struct stat its{};
    ::fstat(file.get(), &mine);
    ::fstat(got.fd.get(), &its);
    CHECK(mine.st_rdev == its.st_rdev);
    CHECK(open_descriptors() == before + 2);
  }
  CHECK(open_descriptors() == before);
}

TEST_CASE("2 and 253 descriptors are rejected and none stays open") {
  for (const std::size_t count : {2U, 3U, 253U}) {
    auto ends = descriptor_channel::make();
    const unique_fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const auto before = open_descriptors();
    send_raw(ends.first, sizeof sample, std::vector<int>(count, file.get()));
    CHECK(ends.second.receive().what == kind::rejected);
    CHECK(open_descriptors() == before);
    CHECK(ends.first.send(sample) == descriptor_channel::sent::yes);
    CHECK(ends.second.receive().what == kind::taken);  // the channel goes on
  }
}

TEST_CASE("a message that is too short or too long is rejected with its descriptor") {
  for (const std::size_t size : {std::size_t{1}, sizeof sample - 1, sizeof sample + 1, std::size_t{64}}) {
    auto ends = descriptor_channel::make();
    const unique_fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const auto before = open_descriptors();
    send_raw(ends.first, size, {file.get()});
    CHECK(ends.second.receive().what == kind::rejected);
    CHECK(open_descriptors() == before);
  }
}

TEST_CASE("another control message than a descriptor is rejected") {
  auto ends = descriptor_channel::make();
  const int on = 1;
  REQUIRE(::setsockopt(ends.second.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
  CHECK(ends.first.send(sample) == descriptor_channel::sent::yes);
  CHECK(ends.second.receive().what == kind::rejected);
}

TEST_CASE("a channel that is not read is full in the end, and does not block") {
  auto ends = descriptor_channel::make();
  int sent = 0;
  while (ends.first.send(sample) == descriptor_channel::sent::yes && sent < 1'000'000) ++sent;
  CHECK(ends.first.send(sample) == descriptor_channel::sent::full);
  for (int i = 0; i < sent; ++i) REQUIRE(ends.second.receive().what == kind::taken);
  CHECK(ends.second.receive().what == kind::nothing);
}

TEST_CASE("what a process said before it ended arrives, although it had not read all that was sent to it") {
  auto ends = descriptor_channel::make();
  REQUIRE(ends.first.send({message::kind::connection, 1}) == descriptor_channel::sent::yes);
  REQUIRE(ends.second.send(sample) == descriptor_channel::sent::yes);
  ends.second.close();
  const auto got = ends.first.receive();
  REQUIRE(got.what == kind::taken);
  CHECK(got.content.number == 4711);
  CHECK(ends.first.receive().what == kind::end);
}

TEST_CASE("a message whose descriptor finds no room is told apart, and the next one arrives") {
  auto ends = descriptor_channel::make();
  const unique_fd file(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  REQUIRE(ends.first.send(sample, file.get()) == descriptor_channel::sent::yes);
  REQUIRE(ends.first.send(sample, file.get()) == descriptor_channel::sent::yes);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 3;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
  const auto got = ends.second.receive();
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(got.what == kind::without_descriptor);
  CHECK(got.content.number == 4711);
  CHECK_FALSE(got.fd);
  const auto next = ends.second.receive();
  CHECK(next.what == kind::taken);
  CHECK(next.fd);
}
