#include "redis_carts.hpp"

#include <charconv>
#include <stdexcept>
#include <utility>

namespace cart {
namespace {

long number(std::string_view text) {
  long out = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, out);
  if (error != std::errc() || stopped != end) throw std::runtime_error("redis: a number that is none");
  return out;
}

std::string as_array(const std::vector<std::string>& words) {
  std::string out = fmt::format("*{}\r\n", words.size());
  for (const std::string& each : words) out += fmt::format("${}\r\n{}\r\n", each.size(), each);
  return out;
}

}  // namespace

weir::task<std::string> redis_carts::line() {
  const auto read = co_await in_.until("\r\n");
  if (!read || read->empty()) throw std::runtime_error("redis: no reply");
  co_return std::string(*read);
}

weir::task<std::string> redis_carts::word() {
  const std::string head = co_await line();
  if (head.front() != '$') throw std::runtime_error("redis: an element that is no word");
  const auto size = static_cast<std::size_t>(number(std::string_view(head).substr(1)));
  const auto read = co_await in_.exactly(size + 2);
  if (!read) throw std::runtime_error("redis: no reply");
  co_return std::string(read->substr(0, size));
}

weir::task<redis_carts::reply> redis_carts::ask(std::vector<std::string> words) {
  const std::string request = as_array(words);
  co_await server_.send(request);
  const std::string head = co_await line();
  reply out;
  out.is_error = head.front() == '-';
  const bool is_array = head.front() == '*';
  if (!is_array) out.words.push_back(head.substr(1));
  for (long left = is_array ? number(std::string_view(head).substr(1)) : 0; left > 0; --left) {
    std::string each = co_await word();
    out.words.push_back(std::move(each));
  }
  co_return out;
}

weir::task<std::string> redis_carts::answer(const std::string* name, const command* asked) {
  std::vector<std::string> words{"HGETALL", "cart:" + *name};
  if (asked->what == command::kind::empty) words[0] = "DEL";
  if (asked->what == command::kind::add) {
    words[0] = "HINCRBY";
    words.push_back(asked->item);
    words.push_back(std::to_string(asked->count));
  }
  const reply got = co_await ask(std::move(words));
  if (got.is_error && got.words[0].find("overflow") != std::string::npos) co_return std::string(too_many);
  if (got.is_error) throw std::runtime_error("redis: " + got.words[0]);
  if (asked->what != command::kind::show) co_return std::string(done);
  items all;
  for (std::size_t i = 0; i + 1 < got.words.size(); i += 2) all[got.words[i]] = number(got.words[i + 1]);
  co_return text_of(all);
}

}  // namespace cart
