#include "weir/base/unique_fd.hpp"

#include <fcntl.h>

#include <catch2/catch.hpp>

using weir::unique_fd;

namespace {
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
int some_fd() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
}  // namespace

TEST_CASE("a descriptor is closed with its owner") {
  int raw = some_fd();
  {
    unique_fd fd(raw);
  }
  CHECK_FALSE(is_open(raw));
}

TEST_CASE("moving passes ownership on") {
  unique_fd first(some_fd());
  int raw = first.get();
  unique_fd second(std::move(first));
  CHECK(second.get() == raw);
  CHECK(is_open(raw));
}

TEST_CASE("assigning closes what was owned before") {
  unique_fd first(some_fd());
  int raw = first.get();
  first = unique_fd(some_fd());
  CHECK_FALSE(is_open(raw));
}

TEST_CASE("a released descriptor stays open") {
  int raw = -1;
  {
    unique_fd fd(some_fd());
    raw = fd.release();
  }
  CHECK(is_open(raw));
  ::close(raw);
}
