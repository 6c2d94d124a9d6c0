// For a test: what GCC 12 refuses without a name, with one.
#include <functional>
#include <string>

#include "weir/core/offload.hpp"
#include "weir/core/per_core.hpp"
#include "weir/core/within.hpp"
#include "weir/task/scope.hpp"
#include "weir/task/when.hpp"

weir::task<> nothing() { co_return; }

weir::task<std::size_t> all_named(std::string text, weir::per_core<std::string>* each) {
  auto work = weir::offload([text] { return text.size(); });
  std::size_t sum = co_await work;
  auto bounded = weir::within(std::chrono::seconds(1), weir::offload([text] { return text.size(); }));
  sum += co_await bounded;
  auto both = weir::when_all(nothing(), weir::offload([text] { return text.size(); }));
  co_await both;
  const auto job = [text] { return text.size(); };
  sum += co_await weir::offload(job);
  sum += co_await weir::within(std::chrono::seconds(1), weir::offload(job));
  sum += co_await weir::offload([&text] { return text.size(); });  // nothing to destroy
  sum +=
      co_await each->reduce(0UL, [&text](std::string& s) { return s.size() + text.size(); }, std::plus<>());
  weir::scope s;
  s.spawn(weir::offload([text] {}));
  co_await s.join();
  co_return sum;
}
