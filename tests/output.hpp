#pragma once
// tests: what is written to a descriptor of this process meanwhile.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "weir/base/unique_fd.hpp"

namespace test {

// Takes over standard output (1) or standard error (2) while it lives. Thread: text() from any.
class output {
 public:
  explicit output(int fd) : fd_(fd), file_(::memfd_create("output", MFD_CLOEXEC)) {
    std::fflush(nullptr);
    saved_ = weir::unique_fd(::dup(fd));
    ::dup2(file_.get(), fd);
  }
  output(const output&) = delete;
  output& operator=(const output&) = delete;
  ~output() {
    std::fflush(nullptr);
    ::dup2(saved_.get(), fd_);
  }

  [[nodiscard]] std::string text() const {
    std::fflush(nullptr);
    std::string out;
    char part[4096];
    for (;;) {
      const auto n = ::pread(file_.get(), part, sizeof part, static_cast<off_t>(out.size()));
      if (n <= 0) return out;
      out.append(part, static_cast<std::size_t>(n));
    }
  }
  [[nodiscard]] bool has(std::string_view what) const { return text().find(what) != std::string::npos; }

 private:
  int fd_;
  weir::unique_fd file_;
  weir::unique_fd saved_;
};

}  // namespace test
