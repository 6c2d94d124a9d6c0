// For tests: sends its own binary over and over for as long as the client is there.
#include <fcntl.h>
#include <sys/stat.h>

#include <weir/weir.hpp>

weir::task<> send_binary(weir::connection client) {
  const weir::unique_fd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  struct stat found{};
  if (::fstat(file.get(), &found) != 0) co_return;
  const auto size = static_cast<std::size_t>(found.st_size);
  bool there = true;
  while (there) there = co_await client.send_file(file.get(), 0, size);
}

int main(int argc, char** argv) { return weir::run(argc, argv, send_binary); }
