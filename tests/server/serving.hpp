#pragma once
// tests: a server that is made, run and destroyed by a thread of its own.

#include <future>
#include <thread>
#include <utility>

#include "sockets.hpp"
#include "weir/server/server.hpp"

namespace test {

using namespace std::chrono_literals;

class serving {
 public:
  serving(const weir::settings& s, const weir::service_form& form) {
    std::promise<weir::server*> made;
    auto there = made.get_future();
    thread_ = std::jthread([&, s, form] {
      try {
        weir::server it(s, form);
        made.set_value(&it);
        it.run();
        ended_.set_value();
        leave_.get_future().wait();
      } catch (...) {
        ended_.set_exception(std::current_exception());
      }
    });
    it_ = there.get();
  }
  serving(const weir::settings& s, const weir::connection_handler& h)
      : serving(s, weir::service_form{.handler = h}) {}
  serving(const serving&) = delete;
  serving& operator=(const serving&) = delete;
  ~serving() {
    it_->cut();
    leave_.set_value();
  }

  weir::server* operator->() noexcept { return it_; }
  [[nodiscard]] weir::endpoint at(std::size_t i = 0) const { return it_->addresses().at(i); }
  // False if run() does not return in time.
  [[nodiscard]] bool has_ended() const { return end_.wait_for(30s) == std::future_status::ready; }
  [[nodiscard]] bool runs() const { return end_.wait_for(0s) == std::future_status::timeout; }

 private:
  std::promise<void> ended_;
  std::promise<void> leave_;
  std::future<void> end_ = ended_.get_future();
  weir::server* it_ = nullptr;
  std::jthread thread_;
};

}  // namespace test
