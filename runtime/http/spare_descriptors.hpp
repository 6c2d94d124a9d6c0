#pragma once
// http: descriptors that are held back, so that a file can be opened when connections have taken all others.

#include <fcntl.h>

#include <algorithm>
#include <mutex>
#include <thread>
#include <vector>

#include "weir/base/unique_fd.hpp"

namespace weir::http {

// One for each thread that may serve, at most eight. Thread: any. Fork: each process has its own.
class spare_descriptors {
 public:
  spare_descriptors() : count_(std::clamp(std::thread::hardware_concurrency(), 1U, 8U)) {
    held_.reserve(count_);
    restore();
  }

  // Closes one. False: there is none.
  bool give_up() noexcept {
    const std::lock_guard hold(taking_);
    if (held_.empty()) return false;
    held_.pop_back();
    return true;
  }

  // Holds as many as at first again, if there are so many.
  void restore() noexcept {
    const std::lock_guard hold(taking_);
    while (held_.size() < count_) {
      unique_fd one(::open("/", O_PATH | O_CLOEXEC));
      if (!one) return;
      held_.push_back(std::move(one));
    }
  }

 private:
  std::size_t count_;
  std::mutex taking_;
  std::vector<unique_fd> held_;
};

}  // namespace weir::http
