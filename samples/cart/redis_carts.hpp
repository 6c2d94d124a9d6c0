#pragma once
// cart: carts in a Redis server, where every process and every machine finds them.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <weir/weir.hpp>

#include "command.hpp"

namespace cart {

// A connection to the server, and what is asked on it. Errors: std::system_error, and std::runtime_error for
// a reply that is none or says what went wrong. Thread: the connection's core.
class redis_carts {
 public:
  explicit redis_carts(weir::connection to) : server_(std::move(to)), in_(server_) {}
  redis_carts(const redis_carts&) = delete;
  redis_carts& operator=(const redis_carts&) = delete;

  // `name` is the cart's.
  weir::task<std::string> answer(const std::string* name, const command* asked);

 private:
  struct reply {
    bool is_error = false;
    std::vector<std::string> words = {};  // one, unless it is an array
  };

  weir::task<reply> ask(std::vector<std::string> words);
  weir::task<std::string> line();
  weir::task<std::string> word();

  weir::connection server_;
  weir::reader in_;
};

}  // namespace cart
