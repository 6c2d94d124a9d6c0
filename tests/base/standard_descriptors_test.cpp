#include "weir/base/detail/standard_descriptors.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include <array>

#include "weir/base/unique_fd.hpp"

using namespace weir;

TEST_CASE("standard descriptors that are closed are opened on /dev/null, and the others stay what they are") {
  std::array<unique_fd, 3> saved;
  for (int fd = 0; fd < 3; ++fd)
    saved[static_cast<std::size_t>(fd)] = unique_fd(::fcntl(fd, F_DUPFD_CLOEXEC, 10));
  struct stat before{}, in{}, out{}, error{}, null{};
  ::fstat(1, &before);
  ::close(0);
  ::close(2);
  open_standard_descriptors();
  ::fstat(0, &in);
  ::fstat(1, &out);
  ::fstat(2, &error);
  const int flags = ::fcntl(2, F_GETFD);
  for (int fd = 0; fd < 3; ++fd) ::dup2(saved[static_cast<std::size_t>(fd)].get(), fd);
  ::stat("/dev/null", &null);
  CHECK(in.st_rdev == null.st_rdev);
  CHECK(error.st_rdev == null.st_rdev);
  CHECK(out.st_ino == before.st_ino);
  CHECK((flags & FD_CLOEXEC) == 0);
}
