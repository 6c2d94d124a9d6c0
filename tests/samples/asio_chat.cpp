// For tests: a chat server as Asio's users write it: a room shared by the sessions, and for each session a
// reader and a writer that a timer wakes. Everything of Asio's is one thread's, so run it on one loop.
#include <deque>
#include <memory>
#include <set>
#include <string>

#include <weir/weir.hpp>

namespace {

class member {
 public:
  virtual ~member() = default;
  virtual void deliver(const std::string& line) = 0;
};

class room {
 public:
  void join(const std::shared_ptr<member>& m) { members_.insert(m); }
  void leave(const std::shared_ptr<member>& m) { members_.erase(m); }
  void deliver(const std::string& line) {
    for (const auto& m : members_) m->deliver(line);
  }

 private:
  std::set<std::shared_ptr<member>> members_;  // as Asio's users do: shared with its own coroutines
};

class session : public member, public std::enable_shared_from_this<session> {
 public:
  session(asio::ip::tcp::socket socket, room& r)
      : socket_(std::move(socket)), wake_(socket_.get_executor()), room_(r) {
    wake_.expires_at(std::chrono::steady_clock::time_point::max());
  }

  asio::awaitable<void> run() {
    room_.join(shared_from_this());
    asio::co_spawn(
        socket_.get_executor(), [self = shared_from_this()] { return self->write(); }, asio::detached);
    try {
      for (std::string text;;) {
        const std::size_t n = co_await asio::async_read_until(socket_, asio::dynamic_buffer(text, 1024), '\n',
                                                              asio::use_awaitable);
        room_.deliver(text.substr(0, n));
        text.erase(0, n);
      }
    } catch (const std::system_error&) {
      room_.leave(shared_from_this());
      socket_.close();
      wake_.cancel();
    }
  }

  void deliver(const std::string& line) override {
    lines_.push_back(line);
    wake_.cancel_one();
  }

 private:
  asio::awaitable<void> write() {
    try {
      while (socket_.is_open()) {
        if (lines_.empty()) {
          asio::error_code woken;
          co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, woken));
        } else {
          co_await asio::async_write(socket_, asio::buffer(lines_.front()), asio::use_awaitable);
          lines_.pop_front();
        }
      }
    } catch (const std::system_error&) {
      socket_.close();
    }
  }

  asio::ip::tcp::socket socket_;
  asio::steady_timer wake_;
  room& room_;
  std::deque<std::string> lines_;
};

asio::awaitable<void> serve(asio::ip::tcp::socket socket, room& r) {
  const auto one = std::make_shared<session>(std::move(socket), r);
  co_await one->run();
}

}  // namespace

int main(int argc, char** argv) {
  room everybody;
  const auto handler = [&everybody](asio::ip::tcp::socket socket) {
    return serve(std::move(socket), everybody);
  };
  return weir::run(argc, argv, weir::asio_handler(handler));
}
